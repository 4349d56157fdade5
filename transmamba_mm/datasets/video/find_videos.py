"""The videos that folders, lists and annotation files name."""

import os
from collections import Counter
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
from transmamba_mm.datasets.images import IMAGE_SUFFIXES, ImageError, open_image
from transmamba_mm.datasets.video.container import VIDEO_SUFFIXES
from transmamba_mm.errors import UserError

LISTS = ('.txt', '.csv', '.json', '.jsonl')
ANIMATED = ('.webp', '.avif')  # some are videos, most are not
SHOWN = 5  # suffixes that a message names
#: Where an entry of an annotation file names its video, the first that it has.
NAMES = ('video_path', 'video', 'video_id')


def find_videos(
    sources: Sequence[str], root: str | None = None, skipped: Counter[str] | None = None
) -> list[str]:
    """List the videos that ``sources`` name, each once, sorted.

    Args:
        sources: A folder stands for all videos below it, animated images among them; a folder of
            images without videos is itself one. A list (txt, one path a line) or an annotation file
            (json, jsonl, csv) stands for the videos that its entries name under ``NAMES``. Another
            file is a video.
        root: Folder of the videos that lists name, if it is not the list's own. A name may lack the
            folders below it and the suffix.
        skipped: Gets how many files of each suffix were left out of folders, as they are no videos
            by their names; see :func:`skipped_note`.

    Raises:
        UserError: If a source or the root is missing, a list cannot be read, or no video is found.
    """
    if root and not Path(root).is_dir():
        raise UserError(f'There is no folder {root}: --root is the folder of the videos in lists.')
    found: set[str] = set()
    skipped = Counter() if skipped is None else skipped
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise UserError(f'{source} does not exist: give a folder of videos, a list or a video.')
        if path.is_dir():
            found.update(_below(path, skipped))
        elif path.suffix.lower() in LISTS:
            found.update(_listed(path, Path(root) if root else path.parent))
        else:
            found.add(str(path))
    if not found:
        raise UserError(
            f'No video was found in {", ".join(sources)}. {skipped_note(skipped)}'
            f'Supported: {" ".join(VIDEO_SUFFIXES)} and folders of images.'
        )
    return sorted(found)


def skipped_note(skipped: Counter[str]) -> str:
    """Sentence about the files skipped in folders, with a trailing space; or ''."""
    kinds = ', '.join(f'{number} {suffix}' for suffix, number in skipped.most_common(SHOWN))
    more = ', ...' * (len(skipped) > SHOWN)
    return kinds and f'Left out {skipped.total()}, no videos by their names: {kinds}{more}. '


def _below(folder: Path, skipped: Counter[str]) -> Iterator[str]:
    walked = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in walked:  # a link to a folder above
            folders.clear()
            continue
        walked.add(real)
        videos = {name for name in names if _is_video(place, name)}
        images = {name for name in names if name.lower().endswith(IMAGE_SUFFIXES)} - videos
        yield from (os.path.join(place, name) for name in videos)
        # a folder by the name of a video is one, if only an empty one
        if not videos and (images or (place.lower().endswith(VIDEO_SUFFIXES) and not folders)):
            yield place
            names = set(names) - images
        skipped.update(_suffix(name) for name in set(names) - videos if name[0] != '.')


def _is_video(place: str, name: str) -> bool:
    """Return whether a file is a video or an animated image, by name and, for images, header."""
    if not name.lower().endswith(ANIMATED):
        return name.lower().endswith(VIDEO_SUFFIXES)
    try:
        with open_image(os.path.join(place, name)) as image:
            return getattr(image, 'is_animated', False)
    except ImageError:
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or 'without suffix'


def _listed(file: Path, root: Path) -> Iterator[str]:
    """Yield the path of each video that ``file`` names, also of those that are not there."""
    there = {}
    for path in _below(root, Counter()):
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
    """Yield the entries of a list or an annotation file, each with its place for messages."""
    advice, suffix = 'Name another list.', file.suffix.lower()
    if suffix == '.json':
        yield str(file), read_json(file, object, advice)
    elif suffix == '.csv':
        for place, row in read_csv(file, (), advice):
            if row is None:
                raise UserError(f'{file}, {place}: not one field for each column. Fix the row.')
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
                raise UserError(f'{place}: {error}. Fix it, or remove it.') from error


def _named(entry: object, place: str) -> Iterator[str]:
    """Yield the values of keys in ``NAMES``, at any depth."""
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
                raise UserError(f'{place}: {fault} ({name!r:.60}). Fix it, or remove it.')
            else:
                yield name
