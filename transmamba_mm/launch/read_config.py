"""Read a config without its variables; every remaining key and option must be used."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner
from mmengine.utils import import_modules_from_strings

from transmamba_mm.compat import internal
from transmamba_mm.errors import UserError, did_you_mean
from transmamba_mm.launch.explain import explain
from transmamba_mm.launch.method import apply_method
from transmamba_mm.launch.missing_config import explain_missing_config
from transmamba_mm.launch.runtime import RUNTIME_KEYS

#: Top-level entries that a Runner or our tools read besides the Runner's own arguments.
KNOWN_KEYS = [
    *(
        name
        for runner in (Runner, FlexibleRunner)
        for name in inspect.signature(runner.__init__).parameters
        if name not in ('self', 'cfg')
    ),
    *('find_unused_parameters', 'sync_bn', 'model_wrapper_cfg', 'runner_type', 'custom_imports'),
    *('activation_checkpointing', 'efficient_conv_bn_eval', 'method'),
    'init_weights_for_test_or_val',  # of a FlexibleRunner
    *('tta_model', 'tta_pipeline', 'tta_cfg'),  # of other tools of OpenMMLab
    *RUNTIME_KEYS,
]
FROM_BASE = re.compile(r'_base_\.(\w+)')
BASES = '_base_'  # the folder of the parts that leaves choose from


def read_config(
    file: str | Path, options: Mapping[str, Any] | None = None, method: str | None = None
) -> Config:
    """Read a config file, take its variables out, apply ``method``, then ``options``.

    A variable is a name that the config copies into other entries (``{{_base_.student}}``, or
    Python's own names), or that a file in a folder ``_base_`` offers to be copied. The copies are
    made by now: later changes of a variable have no effect.

    Args:
        file (str | Path): The config.
        options (Mapping, optional): Dotted keys and values, as ``--cfg-options`` gives them.
        method (str, optional): Name or file, as ``--method`` gives it; see
            :mod:`transmamba_mm.launch.method`.

    Raises:
        UserError: A file that cannot be read; a method that does not fit; an option that changes
            a name that nothing reads.
    """
    try:
        cfg = Config.fromfile(file, import_custom_modules=False)
    except Exception as error:  # a config is a program and may raise anything
        reason = explain_missing_config(Path(file)) or explain(error)
        reason = reason or f'{type(error).__name__}: {error}'
        raise UserError(f'{file} cannot be read: {reason}') from error
    variables = {name: cfg.pop(name) for name in _variables(cfg, Path(file))}
    if method is not None:
        cfg = apply_method(cfg, method)
    options = dict(options or {})
    if 'method' in options:
        raise UserError(f'method={options["method"]!r} records --method: choose it with that.')
    unread = [key for key in options if key.partition('.')[0] not in KNOWN_KEYS]
    if unread:
        raise UserError('\n'.join(explain_unread(cfg, key, variables) for key in unread))
    try:
        cfg.merge_from_dict(options)
    except Exception as error:
        named = ' '.join(f'{key}={value!r}' for key, value in options.items())
        reason = explain(error) or f'{type(error).__name__}: {error}'
        raise UserError(f'{named} cannot be set in {file}: {reason}') from error
    _import_modules(cfg, file)
    return cfg


def _import_modules(cfg: Config, file: str | Path) -> None:
    """Import what ``custom_imports`` lists: the config, its method and its options alike."""
    try:
        import_modules_from_strings(**cfg.get('custom_imports') or {'imports': None})
    except Exception as error:  # modules are programs and may raise anything
        cause = error.__context__ or error
        hint = ''
        if isinstance(cause, ModuleNotFoundError):
            package = str(cause.name).partition('.')[0]
            hint = (
                f'. Correct the name, or add the folder that holds {package} to PYTHONPATH '
                '(export PYTHONPATH=$PWD).'
            )
        raise UserError(
            f'custom_imports of {file}: {error}: {type(cause).__name__}: {cause}{hint}'
        ) from error


def explain_unread(cfg: Config, key: str, variables: Mapping[str, Any] | None = None) -> str:
    """Report that nothing reads a dotted ``key``, with the most similar one."""
    name, _, rest = key.partition('.')
    places = [path for path, _ in _places(cfg) if path.rpartition('.')[2] == name]
    if not places and (value := (variables or {}).get(name)) is not None:
        places = [path for path, found in _places(cfg) if _holds(found, value)]
    if not places:
        return f'{key!r} is not read by anything.{did_you_mean(name, KNOWN_KEYS)}'
    meant = [f'{path}.{rest}' if rest else path for path in places[:3]]
    why = 'was copied before' if name in (variables or {}) else 'is not read by anything'
    return f'{key!r} {why}: set {" or ".join(meant)} instead.'


def _variables(cfg: Config, file: Path) -> set[str]:
    """Names in ``cfg`` that are no entries: copied, or offered to be copied."""
    defined: dict[str, list[bool]] = {}
    _collect(file, frozenset(), defined)
    return {
        name
        for name, were_read in defined.items()
        if name in cfg and name not in KNOWN_KEYS and all(were_read)
    }


def _collect(file: Path, above: frozenset[str], defined: dict[str, list[bool]]) -> None:
    """Note for each definition of a name, in a file and its bases, whether it may be a variable.

    Args:
        file (Path): The config.
        above (frozenset[str]): Names that the configs that inherit from it copy.
        defined (dict): What is found is added here.
    """
    text = file.read_text(encoding='utf-8')
    copied = above | set(FROM_BASE.findall(text))
    if file.suffix == '.py':
        names = [node for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        for name in stored:
            may_be = name in loaded or name in above or file.parent.parent.name == BASES
            may_be = may_be or BASES in file.parent.parts
            defined.setdefault(name, []).append(may_be)
    for base in internal(Config, '_get_base_files')(str(file)):
        path, _ = internal(Config, '_get_cfg_path')(base, str(file))
        _collect(Path(path), frozenset(copied), defined)


def _parse(text: str) -> ast.Module:
    """Python of a config, with ``{{_base_.name}}`` in it."""
    return ast.parse(re.sub(r'\{\{\s*_base_\.[\w.]+\s*\}\}', 'None', text))


def _places(node: Any, above: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted paths and values below ``node``, of what is read."""
    items = node.items() if isinstance(node, (Mapping, Config)) else enumerate(node)
    for key, value in items:
        if not above and key not in KNOWN_KEYS:
            continue
        path = f'{above}.{key}' if above else str(key)
        yield path, value
        if isinstance(value, (Mapping, list, tuple)):
            yield from _places(value, path)


def _holds(found: Any, value: Any) -> bool:
    """Whether an entry is a copy of a variable, or has all of its items."""
    if isinstance(found, Mapping) and isinstance(value, Mapping):
        items = {key: item for key, item in value.items() if key != '_delete_'}
        return bool(items) and all(
            key in found and (found[key] == item or _holds(found[key], item))
            for key, item in items.items()
        )
    return type(found) is type(value) and found == value
