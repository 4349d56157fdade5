"""The videos that folders, lists and annotation files name."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from transmamba_mm.datasets.retrieval.annotations import read_text
from transmamba_mm.datasets.video.container import VIDEO_SUFFIXES
from transmamba_mm.datasets.video.frames_reader import SUFFIXES as IMAGE_SUFFIXES
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
    text, suffix = read_text(file, 'Name another list.'), file.suffix.lower()
    if suffix == '.csv':
        entries: object = list(csv.DictReader(StringIO(text, newline='')))
    elif suffix == '.json':
        entries = _parsed(text, str(file))
    else:  # not splitlines, which also cuts at line ends that JSON allows in a text
        lines = [(number, line.strip()) for number, line in enumerate(text.split('\n'), 1)]
        entries = [
            {NAMES[0]: line} if suffix == '.txt' else _parsed(line, f'{file}, line {number}')
            for number, line in lines
            if line
        ]
    names = list(_named(entries))
    if not names:
        raise UserError(f'{file} names no video: its entries need one of {", ".join(NAMES)}.')
    return names


def _parsed(text: str, place: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f'{place}: not JSON ({error}). Mend it, or take it out.') from error


def _named(entries: object) -> Iterator[str]:
    """Yield what is called by one of ``NAMES``, however deep it lies."""
    if isinstance(entries, list):
        for entry in entries:
            yield from _named(entry)
    elif isinstance(entries, dict):
        name = next((str(entries[name]) for name in NAMES if entries.get(name)), None)
        if name is not None:
            yield name
        else:
            yield from _named(list(entries.values()))
