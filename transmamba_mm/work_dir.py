"""The folder of a training: which checkpoints it holds, and which of them is the newest."""

import re
from pathlib import Path

#: The file in which mmengine notes the newest checkpoint.
LAST_CHECKPOINT = 'last_checkpoint'


def checkpoints_in(work_dir: Path) -> list[Path]:
    """The checkpoints of a training, whole or not, in the order in which to try them.

    First the one that ``last_checkpoint`` names (also when the folder was moved), then those before
    it from the newest to the oldest, then any others. The numbers in their names, of iterations or
    epochs, decide their order: times do not survive a copy. Best checkpoints and published ones,
    which cannot be resumed, are not among them.
    """
    noted = _noted(work_dir)
    folder = noted.parent if noted is not None else work_dir
    found = sorted(filter(_is_of_a_step, folder.glob('*.pth')), key=_steps, reverse=True)
    if noted is None:
        return found
    before = [path for path in found if _steps(path) < _steps(noted)]
    return list(dict.fromkeys([noted, *before, *found]))


def _noted(work_dir: Path) -> Path | None:
    """What ``last_checkpoint`` names, if it can be read and there is such a file.

    One of that name in the folder itself comes first, as the folder may be a copy.
    """
    try:
        noted = Path((work_dir / LAST_CHECKPOINT).read_text().strip())
        places = (work_dir / noted.name, noted)
        return next((path for path in places if path.suffix and path.is_file()), None)
    except (OSError, ValueError):  # missing, not a text, or not a path
        return None


def _is_of_a_step(path: Path) -> bool:
    published = re.search(r'-[0-9a-f]{8}$', path.stem)
    return bool(_steps(path)) and not published and not path.name.startswith(('best_', '.'))


def _steps(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', path.stem)]
