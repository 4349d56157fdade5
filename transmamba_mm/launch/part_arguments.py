"""Which arguments a part of a config takes, and whether values match their annotations."""

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

#: Packages whose classes pass their remaining arguments to the parent. Those of mmpretrain may
#: pass them elsewhere; the receiver then reports an unknown one.
UPWARDS = ('transmamba_mm.', 'mmengine.', 'torch.', 'mmcv.')


@functools.cache
def parameters_of(built: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Arguments that a class or function takes by name, and whether it takes any other."""
    if not inspect.isclass(built):
        found = inspect.signature(built).parameters
        is_open = any(p.kind is p.VAR_KEYWORD for p in found.values())
        return dict(found), is_open
    taken: dict[str, inspect.Parameter] = {}
    if issubclass(built, CheckpointHook):  # it passes on the arguments it does not use
        taken |= inspect.signature(Runner.save_checkpoint).parameters
    for owner in built.__mro__:
        if owner is object:
            break
        if '__init__' not in vars(owner):
            continue
        own = inspect.signature(owner.__init__).parameters
        hints = _hints(inspect.unwrap(owner.__init__))
        for name, parameter in own.items():
            if name != 'self':
                annotation = hints.get(name, inspect.Parameter.empty)
                taken.setdefault(name, parameter.replace(annotation=annotation))
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            return taken, False
        if not owner.__module__.startswith(UPWARDS):
            return taken, True
    ends = issubclass(built, CheckpointHook) or not taken
    return taken, not ends


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # names that are only imported for type checkers
        return {}


def fits(value: Any, parameter: inspect.Parameter) -> bool:
    """Whether a value of a config matches the annotation of an argument."""
    default = parameter.default
    if parameter.annotation is inspect.Parameter.empty:
        return True  # no annotation
    if value is None and default in (None, inspect.Parameter.empty):
        return default is None or _fits(value, parameter.annotation)
    if default not in (None, inspect.Parameter.empty) and type(value) is type(default):
        return True
    return _fits(value, parameter.annotation)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:  # a class from Python 3.11 on, without instances
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in arguments)
    if origin is typing.Literal:
        return value in arguments
    if kind in (None, type(None)):
        return value is None
    if kind in (bool, int, float, str, Number):
        if kind is bool or isinstance(value, bool):
            return kind is bool and isinstance(value, bool)
        return isinstance(value, (int, float) if kind is float else kind)
    if kind is Path:
        return isinstance(value, (str, Path))
    base = origin or kind
    if base in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        return isinstance(value, (list, tuple)) and _items_fit(value, base, arguments)
    if base in (dict, collections.abc.Mapping) or (
        inspect.isclass(base) and issubclass(base, (Mapping, Config))
    ):
        return isinstance(value, (Mapping, Config))
    plain = isinstance(value, (bool, int, float, str))
    return not (plain and inspect.isclass(base)) or isinstance(value, base)


def _items_fit(values: Any, base: Any, arguments: tuple) -> bool:
    if not arguments:
        return True
    if base is tuple and Ellipsis not in arguments:
        same = len(values) == len(arguments)
        return same and all(map(_fits, values, arguments))
    return all(_fits(value, arguments[0]) for value in values)


def spell(kind: Any) -> str:
    """A kind of values as a message names it."""
    return kind.__name__ if inspect.isclass(kind) else str(kind).replace('typing.', '')
