"""The videos that folders, lists and annotation files name."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from transmamba_mm.datasets.annotations import (
    TOO_LONG,
    name_fault,
    parse_json,
    read_csv,
    read_json,
    read_lines,
)
from transmamba_mm.datasets.images import IMAGE_SUFFIXES
from transmamba_mm.datasets.video.container import VIDEO_SUFFIXES
from transmamba_mm.errors import UserError

LISTS = ('.txt', '.csv', '.json', '.jsonl')
#: Where an entry of an annotation file names its video, the first that it has.
NAMES = ('video_path', 'video', 'video_id')


def find_videos(sources: Sequence[str], root: str | None = None) -> list[str]:
    """List the videos that ``sources`` name, each once, sorted.

    Args:
        sources: A folder stands for all videos below it; a folder of images without videos is
            itself one. A list (txt, one path a line) or an annotation file (json, jsonl, csv)
            stands for the videos that its entries name under ``NAMES``. Another file is a video.
        root: Folder of the videos that lists name, if it is not the list's own. A name may lack the
            folders below it and the suffix.

    Raises:
        UserError: If a source or the root is missing, a list cannot be read, or no video is found.
    """
    if root and not Path(root).is_dir():
        raise UserError(f'There is no folder {root}: --root is the folder of the videos in lists.')
    found: set[str] = set()
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise UserError(f'{source} does not exist: give a folder of videos, a list or a video.')
        if path.is_dir():
            found.update(_below(path))
        elif path.suffix.lower() in LISTS:
            found.update(_listed(path, Path(root) if root else path.parent))
        else:
            found.add(str(path))
    if not found:
        raise UserError(
            f'No video was found in {", ".join(sources)}. Looked for {" ".join(VIDEO_SUFFIXES)} '
            'and folders of jpg or png frames.'
        )
    return sorted(found)


def _below(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        videos = [name for name in names if name.lower().endswith(VIDEO_SUFFIXES)]
        yield from (os.path.join(place, name) for name in videos)
        if not videos and any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            yield place


def _listed(file: Path, root: Path) -> Iterator[str]:
    """Yield the path of each video that ``file`` names, also of those that are not there."""
    there = {}
    for path in _below(root):
        there[os.path.basename(path)] = there[Path(path).stem] = path
    for name in _names(file):
        direct = root / name
        yield str(direct) if direct.exists() else there.get(Path(name).name, str(direct))


def _names(file: Path) -> list[str]:
    names = [name for place, entry in _entries(file) for name in _named(entry, place)]
    if not names:
        raise UserError(f'{file} names no video: its entries need one of {", ".join(NAMES)}.')
    return names


def _entries(file: Path) -> Iterator[tuple[str, object]]:
    """Yield what a list or an annotation file holds, and where, for messages."""
    advice, suffix = 'Name another list.', file.suffix.lower()
    if suffix == '.json':
        yield str(file), read_json(file, object, advice)
    elif suffix == '.csv':
        for place, row in read_csv(file, (), advice):
            if row is None:
                raise UserError(f'{file}, {place}: not one field for each column. Mend the row.')
            yield f'{file}, {place}', row
    else:
        for number, line in read_lines(file, advice):
            place = f'{file}, line {number}'
            try:
                if line is None:
                    raise ValueError(TOO_LONG)
                if suffix == '.txt':
                    yield place, {NAMES[0]: line.decode('utf-8-sig').strip()}
                else:
                    yield place, parse_json(line)
            except UserError:
                raise
            except ValueError as error:
                raise UserError(f'{place}: {error}. Mend it, or take it out.') from error


def _named(entry: object, place: str) -> Iterator[str]:
    """Yield what is called by one of ``NAMES``, however deep it lies."""
    parts = [entry]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += reversed(part)
        elif isinstance(part, dict):
            name = next((part[name] for name in NAMES if part.get(name)), None)
            name = str(name) if isinstance(name, int) else name  # a video_id
            if name is None:
                parts += reversed(part.values())
            elif fault := name_fault(name):
                raise UserError(f'{place}: {fault} ({name!r:.60}). Mend it, or take it out.')
            else:
                yield name
