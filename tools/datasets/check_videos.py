"""Find unreadable and short videos before training; exit code 1 if there are any.

Example:
    python tools/datasets/check_videos.py data/msrvtt/videos --min-frames 12 --jobs 2
    python tools/datasets/check_videos.py MSRVTT_JSFUSION_test.csv --root data/msrvtt/videos

A folder stands for all videos and folders of frames below it; a txt, csv, json or jsonl file for
the videos that it names, missing ones included. Each video is opened and eight frames
of it are decoded (--every-frame: all, which also finds damage between them).
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transmamba_mm.checks import COUNT, check
from transmamba_mm.datasets.video.check_videos import check_table, check_videos, write_list
from transmamba_mm.datasets.video.find_videos import find_videos, skipped_note
from transmamba_mm.datasets.video.open_video import BACKENDS, check_backend
from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('sources', nargs='+', help='folders, lists, annotation files, videos')
    parser.add_argument('--root', help="folder of the videos in lists; default: the list's own")
    parser.add_argument('--min-frames', type=int, default=8, help='fewer are short')
    parser.add_argument('--every-frame', action='store_true', help='decode all frames (slow)')
    parser.add_argument('--backend', choices=BACKENDS, default='auto', help='decoder')
    parser.add_argument('--jobs', type=int, default=2, help='processes')
    parser.add_argument(
        '--write-list', metavar='FILE', help='write the good ones: a .txt, or a .json with all'
    )
    args = parser.parse_args(argv)
    check('check_videos.py', '--jobs', args.jobs, COUNT)
    return args


def main(argv: list[str] | None = None) -> None:
    """Check every video, print the table, write the list."""
    args = parse_args(argv)
    if args.write_list and not Path(args.write_list).absolute().parent.is_dir():
        raise UserError(f'--write-list {args.write_list}: there is no such folder, make it first.')
    check_backend(args.backend)
    skipped: Counter[str] = Counter()
    paths = find_videos(args.sources, args.root, skipped)
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    checks = []
    looked = check_videos(paths, args.min_frames, args.backend, args.every_frame, args.jobs)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task('videos', total=len(paths))
        for check in looked:
            checks.append(check)
            bad = sum(bool(check.cause) for check in checks)
            progress.update(task, advance=1, description=f'videos, {bad} have problems')
    bad = sum(bool(check.cause) for check in checks)
    console.out(check_table(checks) if bad else f'All {len(checks)} videos are good.')
    if note := skipped_note(skipped):
        console.out(note)
    if args.write_list:
        write_list(checks, args.write_list)
        console.out(f'Saved {args.write_list}')
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    run(main)
