"""Find unreadable videos before training."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from transmamba_mm.datasets.video.open_video import open_video
from transmamba_mm.datasets.video.sampling import FrameSampler
from transmamba_mm.datasets.video.video_error import FIXES, VideoError, video_error
from transmamba_mm.errors import UserError
from transmamba_mm.tables import MAX_WIDTH

DAMAGED = 'damaged'
SHORT = 'short'
SHORT_FIX = 'remove it, or use fewer frames (num_frames); else its last frame is repeated'
CRASH = 'crash'
CRASH_FIX = 'remove it, or try another decoder (--backend)'
OWN_FIXES = {SHORT: SHORT_FIX, CRASH: CRASH_FIX}
LOOKS = 8  # frames of a video that are decoded
SHOWN = 5  # videos of a cause that the table names


@dataclass(frozen=True)
class VideoCheck:
    """Result of the check of one video."""

    path: str
    cause: str = ''  # empty: it is good
    message: str = ''
    frames: int = 0


def check_video(
    path: str, min_frames: int = LOOKS, backend: str = 'auto', every_frame: bool = False
) -> VideoCheck:
    """Open one video and decode eight frames of it at even distances, or every frame."""
    try:
        with open_video(path, backend) as video:
            total = len(video)
            if every_frame:
                for start in range(0, total, LOOKS):
                    video.read(range(start, min(start + LOOKS, total)))
            else:
                video.read(FrameSampler(min(LOOKS, total))(total, video.times)[0])
    except VideoError as error:
        return VideoCheck(path, error.cause, str(error))
    except UserError:  # an invalid option, not a fault of the video
        raise
    except Exception as error:  # a decoder's, from this file: check the others
        found = video_error(path, DAMAGED, f'{type(error).__name__}: {error}')
        return VideoCheck(path, DAMAGED, str(found))
    if total < min_frames:
        message = f'{path} has {total} frames, fewer than {min_frames}. Fix: {SHORT_FIX}.'
        return VideoCheck(path, SHORT, message, total)
    return VideoCheck(path, frames=total)


def check_videos(
    paths: Sequence[str],
    min_frames: int = LOOKS,
    backend: str = 'auto',
    every_frame: bool = False,
    jobs: int = 1,
) -> Iterator[VideoCheck]:
    """Check ``paths`` in ``jobs`` processes; results come as they are ready.

    If a decoder crashes its process, the rest is checked in one process per video, so
    that the one is found and the others get their results.
    """
    options = (min_frames, backend, every_frame)
    pool = ProcessPoolExecutor(jobs)
    tasks = [pool.submit(check_video, path, *options) for path in paths]
    left = dict.fromkeys(paths)
    try:
        for task in as_completed(tasks):
            check = task.result()
            left.pop(check.path, None)
            yield check
    except BrokenProcessPool:
        for path in left:
            yield _check_apart(path, *options)
    finally:
        # once, and waiting: else the interpreter ends while the pool still closes its pipes
        pool.shutdown(cancel_futures=True)


def _check_apart(path: str, *options: Any) -> VideoCheck:
    with ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(check_video, path, *options).result()
        except BrokenProcessPool:
            return VideoCheck(path, CRASH, f'{path} makes its decoder crash. Fix: {CRASH_FIX}.')


def check_table(checks: Sequence[VideoCheck]) -> str:
    """Draw how many videos each cause has, the first of them, and what to do."""
    bad = [check for check in checks if check.cause]
    rows = []
    for cause, number in Counter(check.cause for check in bad).most_common():
        paths = sorted(check.path for check in bad if check.cause == cause)
        named = '\n'.join(paths[:SHOWN]) + (f'\n... {number - SHOWN} more' * (number > SHOWN))
        rows.append([cause, str(number), named, {**FIXES, **OWN_FIXES}[cause]])
    table = Table('cause', 'videos', 'which', 'what to do', title_justify='left', show_lines=True)
    table.title = f'{len(bad)} of {len(checks)} videos have problems'
    for row in rows:
        table.add_row(*row)
    buffer = StringIO()
    Console(file=buffer, width=MAX_WIDTH).print(table)
    return '\n'.join(line.rstrip() for line in buffer.getvalue().splitlines())


def write_list(checks: Sequence[VideoCheck], file: str) -> None:
    """Write the good videos, one path a line; as .json the bad ones with their messages, too."""
    good = sorted(check.path for check in checks if not check.cause)
    if not file.endswith('.json'):
        text = ''.join(f'{path}\n' for path in good)
    else:
        bad = sorted((check for check in checks if check.cause), key=lambda check: check.path)
        entries = [
            {'video': check.path, 'cause': check.cause, 'message': check.message} for check in bad
        ]
        text = json.dumps({'good': good, 'bad': entries}, indent=2, ensure_ascii=False) + '\n'
    # a name on the disk need not be UTF-8
    Path(file).write_text(text, encoding='utf-8', errors='surrogateescape')
