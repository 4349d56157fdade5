"""Name the missing base of a config, and suggest a similar one."""

import re
from pathlib import Path

from mmengine.config import Config

from transmamba_mm.compat import internal
from transmamba_mm.errors import did_you_mean


def explain_missing_config(file: Path, above: tuple[Path, ...] = ()) -> str:
    """Name the first missing file of a config's tree, and the config that needs it.

    Args:
        file (Path): The config.
        above (tuple[Path, ...]): The configs that inherit from it, the nearest last.

    Returns:
        str: Empty if all of them are there, or one of them cannot be parsed, which others explain.
    """
    if not file.is_file():
        return _not_there(file)
    if file.resolve() in above:
        return f'{above[-1]} inherits from {file}, which inherits from it: remove one of the two.'
    try:
        bases = internal(Config, '_get_base_files')(str(file))
    except Exception:  # a config is a program and may raise anything
        return ''
    for base in bases:
        entry = f'{file} has _base_={base!r}'
        if not isinstance(base, str):
            return f'{entry}, which is no path of a config.'
        try:
            path = Path(internal(Config, '_get_cfg_path')(base, str(file))[0])
        except Exception as error:  # of an entry 'package::path': whatever the package raises
            found = re.fullmatch(r'file "(.+)" does not exist', str(error))
            return f'{entry}: {_not_there(Path(found[1])) if found else error}'
        if not path.is_file():
            return f'{entry}: {_not_there(path)}'
        if fault := explain_missing_config(path, (*above, file.resolve())):
            return fault
    return ''


def _not_there(path: Path) -> str:
    """Report where the path of a file ends, and what exists in place of the rest."""
    if path.is_dir():
        return f'{path} is a folder: name a config in it.'
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    folder = missing.parent
    there = sorted(other.name for other in folder.iterdir()) if folder.is_dir() else []
    text = (
        f'{missing.name} is not in {folder.resolve()}'
        if missing == path
        else (f'{missing} is not a folder (searched {folder.resolve()})')
    )
    return f'{text}.{did_you_mean(missing.name, there)}'
