"""Search a folder for the videos that match a text.

Examples:
    python tools/search_videos.py --checkpoint work_dirs/videomamba-nano_clip-nano_movingdigits \\
        --videos my_videos --text "a large seven moves left" --top 3
    python tools/search_videos.py --checkpoint student.safetensors --config student.py \\
        --videos my_videos --text "a dog runs" "a cat sleeps" --out found.png

The first search embeds all videos and keeps that in a file; later ones embed what is new or has
changed. An interrupted one continues where it stopped. The videos found are printed with their
cosines and drawn. A model with a re-ranker puts the nearest into its order, by "match".
"""

import argparse
import logging
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transmamba_mm import compat
from transmamba_mm.checks import COUNT, INDEX, check
from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        '--text', required=True, nargs='+', action='extend', help='one description or several'
    )
    parser.add_argument('--videos', required=True, metavar='DIR', help='folder to search')
    parser.add_argument('--checkpoint', required=True, help='.pth, .safetensors, work_dir or URL')
    parser.add_argument('--config', help='default: the one that your training left beside it')
    parser.add_argument('--top', type=int, default=5, help='videos of each text')
    parser.add_argument('--index', metavar='FILE', help='default: beside the checkpoint')
    parser.add_argument('--rebuild', action='store_true', help='embed all videos again')
    parser.add_argument('--out', metavar='PNG', help='default: search.png beside the checkpoint')
    parser.add_argument('--jobs', type=int, default=2, help='processes that decode')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the fastest there is')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Bring the index up to date, search it, print and draw."""
    args = parse_args(argv)
    check('search_videos.py', '--top', args.top, COUNT)
    check('search_videos.py', '--jobs', args.jobs, INDEX)
    if args.out and Path(args.out).suffix.lower() != '.png':
        raise UserError(f'--out {args.out} has to end in .png.')
    compat.load_checkpoints_safely()
    logging.disable(logging.WARNING)
    compat.import_datasets_quietly()
    from transmamba_mm.apis.contact_sheet import draw_hits
    from transmamba_mm.apis.search_videos import VideoSearch, check_texts
    from transmamba_mm.datasets.video.check_videos import check_table
    from transmamba_mm.datasets.video.find_videos import skipped_note

    check_texts(args.text)  # before all videos are embedded
    search = VideoSearch(args.checkpoint, args.config, args.device)
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task('embedding', total=None)
        report = search.index(
            args.videos,
            args.index,
            args.rebuild,
            args.jobs,
            on_video=lambda check, total: progress.update(task, advance=1, total=total),
        )
    bad = [check for check in report.checks if check.cause]
    console.out(
        f'{len(report.checks) - len(bad)} videos embedded, {report.kept} known, '
        f'{report.gone} gone, {len(bad)} unreadable'
    )
    if note := skipped_note(report.skipped):
        console.out(note)
    if bad:
        console.out(check_table(report.checks))
    found = dict(zip(args.text, search(args.text, args.top), strict=True))
    for text, hits in found.items():
        console.out(f'\n{text}')
        if note := _note(*search.words(text)):
            console.out(f'       {note}', highlight=False)
        for rank, hit in enumerate(hits, 1):
            match = '' if hit.match is None else f'  match {hit.match:6.2f}'
            console.out(f'{rank:5}  {hit.score:6.3f}{match}  {hit.path}', highlight=False)
    out = args.out or str(search.work_dir / 'search.png')
    draw_hits(found, args.videos, out)
    console.out(f'\nSaved {out}')


def _note(known: list[str], unknown: list[str]) -> str:
    """Note on the out-of-vocabulary words of a text."""
    if not unknown:
        return ''
    if not known:
        return 'All words are out of vocabulary: the order of these videos is arbitrary.'
    return f'Out of vocabulary: {" ".join(unknown)}'


if __name__ == '__main__':
    run(main)
