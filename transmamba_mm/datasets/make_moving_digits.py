"""Make the data set of moving digits: for each split a folder of videos and their captions."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from transmamba_mm.datasets.annotations import parse_json
from transmamba_mm.datasets.digits import split_digits
from transmamba_mm.datasets.moving_digits import FPS, MovingDigit, describe, draw, plan
from transmamba_mm.datasets.video.write_video import write_video
from transmamba_mm.errors import UserError

SETTINGS = 'moving_digits.json'  # settings of a folder; written last
VERSION = 2  # of the videos that the same settings give


def make_moving_digits(
    out: str | os.PathLike, counts: Mapping[str, int], seed: int = 0, overwrite: bool = False
) -> Iterator[Path]:
    """Write the splits of ``counts`` below ``out``, all or nothing, and yield each video.

    A split is a folder ``videos`` and a file ``captions.jsonl``, as ``VideoCaptions`` reads them;
    its entries also have ``meaning`` and ``image``, the index among the 1,797 digits. Where
    ``out`` holds just these already, nothing is written.

    Args:
        out: The folder. It appears when all of it is written.
        counts: How many videos of each split.
        seed: Of all random choices.
        overwrite: Whether moving digits of other settings are replaced. Other data never is.

    Raises:
        UserError: If ``out`` holds something else, or a count cannot be met.
    """
    out = Path(out).expanduser().resolve()
    plans = {split: list(plan(split, number, seed)) for split, number in counts.items()}
    settings = {'version': VERSION, 'seed': seed, 'counts': dict(counts)}
    if _is_made(out, settings, overwrite):
        return
    part = out.with_name(f'.{out.name}.{os.getpid()}')
    try:
        for split, videos in plans.items():
            yield from _write_split(part / split, videos)
        (part / SETTINGS).write_text(json.dumps(settings) + '\n', encoding='utf-8')
        if out.exists():
            shutil.rmtree(out)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_made(out: Path, settings: dict, overwrite: bool) -> bool:
    """Whether ``out`` holds these videos; UserError if it holds what must not be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = parse_json((out / SETTINGS).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f'{out} holds files other than moving digits: choose another --out.'
        ) from error
    counts = settings['counts'].items()
    whole = all(len(list((out / split).glob('videos/*.mp4'))) == number for split, number in counts)
    if found == settings and whole:
        return True
    if not overwrite:
        state = 'moving digits of other settings' if found != settings else 'only a part of them'
        raise UserError(f'{out} holds {state} ({found}): --overwrite replaces them.')
    return False


def _write_split(folder: Path, videos: list[MovingDigit]) -> Iterator[Path]:
    images, _, _ = split_digits('train')  # the images are all of them, whatever the split
    (folder / 'videos').mkdir(parents=True)
    with open(folder / 'captions.jsonl', 'w', encoding='utf-8') as file:
        for number, video in enumerate(videos):
            path = folder / f'videos/{number:05}.mp4'
            write_video(path, draw(video, images), FPS)
            entry = {
                'video': path.name,
                'captions': describe(video),
                'meaning': str(video.meaning),
                'image': video.image,
            }
            file.write(json.dumps(entry) + '\n')
            yield path
