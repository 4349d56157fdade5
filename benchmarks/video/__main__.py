"""How fast do clips come from the disk? decord, PyAV, folders of frames and the cache, in one run.

Example:
    python -m benchmarks.video data/msrvtt/videos --frames 8 --size 112
    python -m benchmarks.video data/msrvtt/videos --model-step-ms 180 --workers 8

Every way samples frames at random, scales them to the short side while it decodes, cuts out the
middle and packs the clip. Clips per second are given for one process and for a DataLoader; the last
column is the share of a training step that is spent waiting for its batch, the step being one of
VideoMamba's nano on the CPU, or --model-step-ms of leaving the CPU alone, as a GPU would.
A cold cache meets every video for the first time: it is a new one, and each clip another link.
"""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import describe_machine, machine_line, write_json
from benchmarks.video.speed import (
    WAYS,
    VideoBenchmark,
    extract_frames,
    training_step,
    video_table,
    waiting_step,
)
from transmamba_mm.datasets.video.find_videos import find_videos
from transmamba_mm.datasets.video.open_video import check_backend
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.video', description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument('videos', nargs='+', help='folders of videos, or videos')
    parser.add_argument('--frames', type=int, default=8, help='of a clip')
    parser.add_argument('--size', type=int, default=112, help='of a clip')
    parser.add_argument('--batch-size', type=int, default=4, help='clips at once')
    parser.add_argument('--workers', type=int, default=2, help='of the DataLoader')
    parser.add_argument('--batches', type=int, default=16, help='timed, of each way')
    parser.add_argument('--max-videos', type=int, default=64, help='take the first')
    parser.add_argument('--model-step-ms', type=float, help='instead of a real training step')
    parser.add_argument('--out', default='work_dirs/benchmark_video', help='folder of the results')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, print, save."""
    args = parse_args(argv)
    for backend in ('decord', 'pyav'):
        check_backend(backend)
    videos = [path for path in find_videos(args.videos) if Path(path).is_file()][: args.max_videos]
    machine = describe_machine(torch.device('cpu'))
    console = Console()
    console.out(machine_line(machine))
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    with progress, tempfile.TemporaryDirectory() as scratch:
        task = progress.add_task('writing frames', total=len(videos) + len(WAYS))
        folders = extract_frames(videos, Path(scratch, 'frames'), lambda: progress.advance(task))
        step = (
            training_step(args.frames, args.size)
            if args.model_step_ms is None
            else waiting_step(args.model_step_ms)
        )
        benchmark = VideoBenchmark(
            videos,
            folders,
            args.frames,
            args.size,
            args.batch_size,
            args.workers,
            args.batches,
            Path(scratch),
            step,
        )
        speeds = []
        for way in WAYS:
            progress.update(task, description=way)
            speeds.append(benchmark.measure(way))
            progress.advance(task)
    title = (
        f'{len(videos)} videos: clips of {args.frames} frames, {args.size} pixels, batches of '
        f'{args.batch_size}, {args.workers} workers'
    )
    console.out(video_table(speeds, title))
    values = {'machine': machine, 'arguments': vars(args), 'videos': len(videos)}
    write_json(
        {**values, 'ways': [asdict(speed) for speed in speeds]}, Path(args.out, 'video.json')
    )
    console.out(f'Saved {args.out}/video.json')


if __name__ == '__main__':
    run(main)
