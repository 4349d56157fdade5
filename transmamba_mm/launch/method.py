"""The method of a run: a small config merged into a transfer's, chosen with ``--method``.

A leaf of ``configs/transmamba/`` has the method of the paper, ``wsab``. Every other file of
``configs/_base_/methods/`` changes it, and so may a file of the user's own. It is Python like any
config, and differs from one that inherits the leaf in three ways:

* ``_base_`` is the leaf itself, so that ``model = _base_.model.student`` trains the student alone.
* A dict replaces the leaf's where it names another ``type``, else it is merged into it.
* Names that begin with an underscore are the method's own and do not enter the config.

The merged config records the name as ``method``, and needs no ``--method`` to be loaded again.
"""

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from transmamba_mm.errors import UserError, did_you_mean
from transmamba_mm.launch.data_config import type_name

#: The method of a leaf, which all others change.
DEFAULT = 'wsab'
FOLDER = Path('_base_', 'methods')
#: Key of a merged config for the files it was merged from.
SOURCES = '_sources'


def add_method_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--method``."""
    parser.add_argument(
        '--method',
        help=f'scratch, logits or another of configs/{FOLDER}, or a file of your own; default: '
        f"the config's own ({DEFAULT})",
    )


def apply_method(cfg: Config, method: str) -> Config:
    """Lay a method over a config, whose own method is left as it is.

    Args:
        cfg (Config): Of a transfer, without variables.
        method (str): A name, or the path of a .py file.

    Returns:
        Config: With the entry ``method``; its file name, and its work_dir if it has one, end in
        ``-<method>``.

    Raises:
        UserError: No such method; one that does not fit the config; a config without a teacher.
    """
    if cfg.get('method') == method:
        return cfg
    if cfg.get('method') not in (None, DEFAULT):
        raise UserError(
            f'{cfg.filename} has method={cfg.method!r} already: drop --method {method}, or pass '
            'the config that it was made from.'
        )
    model = cfg.get('model')
    if not isinstance(model, dict) or not {'student', 'teacher'} <= set(model):
        raise UserError(
            f'--method {method} needs a config with a student and a teacher, such as those of '
            f'configs/transmamba/; {cfg.filename} has none: drop it.'
        )
    if method == DEFAULT:
        return cfg
    file = find_method(method, Path(cfg.filename))
    by = f'--method {method_name(method)} ({file})'
    before = cfg.to_dict()
    after = _lay(before, _evaluate(file, ConfigDict(before), cfg.filename), by)
    if 'work_dir' in cfg:
        after['work_dir'] = f'{after["work_dir"]}-{file.stem}'
    after['method'] = method_name(method)
    named = Path(cfg.filename)
    filename = named.with_name(f'{named.stem}-{file.stem}{named.suffix}')
    merged = Config(after, cfg_text=cfg.text, filename=str(filename))
    vars(merged)[SOURCES] = f'{cfg.filename} with {by}'
    return merged


def name_sources(cfg: Config) -> str | None:
    """The file of a config for a message, and that of the method that was laid over it, if any."""
    return vars(cfg).get(SOURCES, cfg.filename)


def find_method(method: str, config: Path) -> Path:
    """The file of a method: a given path, or a name in the config's tree or ours.

    Raises:
        UserError: An unknown method; lists the known ones.
    """
    if method.endswith('.py'):
        if not Path(method).is_file():
            raise UserError(f'--method {method} does not exist (searched {Path.cwd()}).')
        return Path(method)
    found = methods(config)
    if method not in found:
        raise UserError(
            f'--method {method} is unknown; choose one of {", ".join(sorted(found))}, or pass a '
            f'.py file.{did_you_mean(method, list(found))}'
        )
    return found[method]


def method_name(method: str) -> str:
    """The name of a method, from its name or its file."""
    return Path(method).stem if method.endswith('.py') else method


def methods(config: Path) -> dict[str, Path]:
    """Names and files of the methods for a config: ours, and those of its own tree."""
    package = Path(__file__).parents[1]
    ours = (package / '.mim/configs' / FOLDER, package.parent / 'configs' / FOLDER)
    installed = [folder for folder in ours if folder.is_dir()][:1]
    folders = [*installed, config.parent.parent / FOLDER]
    return {file.stem: file for folder in folders for file in sorted(folder.glob('*.py'))}


def _evaluate(file: Path, base: ConfigDict, config: str) -> dict[str, Any]:
    """Entries that a method's file sets."""
    names: dict[str, Any] = {'_base_': base}
    try:
        exec(compile(file.read_text(encoding='utf-8'), str(file), 'exec'), names)
    except Exception as error:  # it is a program and may raise anything
        raise UserError(
            f'Method {file} does not fit {config}: {type(error).__name__}: {error}'
        ) from error
    return {name: value for name, value in names.items() if not name.startswith('_')}


def _lay(old: dict, new: dict, method: str, place: str = '') -> dict:
    """``old`` with the changes of ``new``, which name existing parts.

    Raises:
        UserError: A change of, or None for, a part of the model that is not there.
    """
    new = dict(new)
    if new.pop('_delete_', False) or ('type' in new and type_name(new) != type_name(old)):
        return new
    laid = dict(old)
    for key, value in new.items():
        path = f'{place}.{key}' if place else key
        changes = isinstance(value, dict) and not {'type', '_delete_'} & set(value)
        absent = old.get(key) is None and (changes or key not in old)
        if path.startswith('model.') and absent and (changes or value is None):
            raise UserError(f'{method} changes {path}, which the config lacks.')
        below = old.get(key) if isinstance(old.get(key), dict) else {}
        laid[key] = _lay(below, value, method, path) if isinstance(value, dict) else value
    return laid
