"""Find the checkpoints of a work_dir, and the newest of them."""

import re
from collections.abc import Iterator
from pathlib import Path

#: The file in which mmengine notes the newest checkpoint.
LAST_CHECKPOINT = 'last_checkpoint'


def checkpoints_in(work_dir: Path) -> list[Path]:
    """The checkpoints of a training, whole or not, in the order in which to try them.

    First the one that ``last_checkpoint`` names, then those before it, newest first, then any
    others. The folder itself, which may have been moved or copied, is searched first; only
    if it holds none, the location in ``last_checkpoint``. The numbers in their names, of iterations
    or epochs, decide their order: times do not survive a copy. Best checkpoints and published ones,
    which cannot be resumed, are not among them.
    """
    noted = _noted(work_dir)
    elsewhere = noted is not None and not any(_of_steps(work_dir))
    folder = noted.parent if elsewhere else work_dir
    found = sorted(_of_steps(folder), key=_steps, reverse=True)
    first = folder / noted.name if noted is not None else None
    if first is None or not first.is_file():
        return found
    before = [path for path in found if _steps(path) < _steps(first)]
    return list(dict.fromkeys([first, *before, *found]))


def _noted(work_dir: Path) -> Path | None:
    """The file in ``last_checkpoint``, if that can be read and names a file."""
    try:
        noted = Path((work_dir / LAST_CHECKPOINT).read_text().strip())
        noted.is_file()  # a ValueError or an OSError of what is not a path
    except (OSError, ValueError):
        return None
    return noted if noted.suffix else None


def _of_steps(folder: Path) -> Iterator[Path]:
    return filter(_is_of_a_step, folder.glob('*.pth'))


def _is_of_a_step(path: Path) -> bool:
    published = re.search(r'-[0-9a-f]{8}$', path.stem)
    return bool(_steps(path)) and not published and not path.name.startswith(('best_', '.'))


def _steps(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', path.stem)]
