"""Types of the parts of a config, with their accepted keys and values."""

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
from mmengine.registry import FUNCTIONS, STRATEGIES, Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from transmamba_mm import registry as ours

#: By the key, or the key of the list, where a part stands; others are of their surrounding's kind.
REGISTRIES: dict[str, Registry | None] = {
    'model': ours.MODELS,
    'data_preprocessor': ours.MODELS,
    'distiller': ours.DISTILLERS,
    'augments': ours.BATCH_AUGMENTS,
    'tokenizer': ours.TOKENIZERS,
    'dataset': ours.DATASETS,
    'datasets': ours.DATASETS,
    'pipeline': ours.TRANSFORMS,
    'transforms': ours.TRANSFORMS,
    'sampler': ours.mmpretrain.DATA_SAMPLERS,
    'batch_sampler': ours.mmpretrain.DATA_SAMPLERS,
    'collate_fn': FUNCTIONS,
    'val_evaluator': ours.METRICS,
    'test_evaluator': ours.METRICS,
    'optim_wrapper': ours.mmpretrain.OPTIM_WRAPPERS,
    'optimizer': ours.mmpretrain.OPTIMIZERS,
    'param_scheduler': ours.mmpretrain.PARAM_SCHEDULERS,
    'default_hooks': ours.HOOKS,
    'custom_hooks': ours.HOOKS,
    'visualizer': ours.mmpretrain.VISUALIZERS,
    'vis_backends': ours.mmpretrain.VISBACKENDS,
    'log_processor': ours.mmpretrain.LOG_PROCESSORS,
    'model_wrapper_cfg': ours.mmpretrain.MODEL_WRAPPERS,
    'init_cfg': ours.mmpretrain.WEIGHT_INITIALIZERS,
    'strategy': STRATEGIES,
    'temporal': None,  # types that a part defines itself
}
#: Keys that a builder takes out before it makes a part of the rest.
BUILDERS: dict[Registry, tuple[str, ...]] = {
    ours.mmpretrain.OPTIM_WRAPPERS: ('constructor', 'paramwise_cfg', 'optimizer'),
    ours.mmpretrain.PARAM_SCHEDULERS: ('convert_to_iter_based',),
    ours.mmpretrain.LOOPS: ('by_epoch',),
    ours.HOOKS: ('priority',),
}
#: What constructors of optimizers read: mmengine's and mmpretrain's, then ours.
PARAMWISE = (
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult'),
    *('dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate', 'layer_decay_rate'),
    *('position_lr_mult', 'token_lr_mult', 'lr_mults'),
)
LOADER = tuple(inspect.signature(DataLoader.__init__).parameters)
#: Keys of dicts without a type, by the pattern of their path.
PLAIN = {
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'env_cfg.mp_cfg': ('mp_start_method', 'opencv_num_threads'),
    'env_cfg.dist_cfg': ('backend', 'timeout', 'init_method', 'world_size', 'rank', 'port'),
    'randomness': ('seed', 'deterministic', 'diff_rank_seed'),
    'auto_scale_lr': ('base_batch_size', 'enable'),
    'custom_imports': ('imports', 'allow_failed_imports'),
    'optim_wrapper.clip_grad': (
        *('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'),
    ),
    'optim_wrapper.paramwise_cfg': PARAMWISE,
    'optim_wrapper.paramwise_cfg.custom_keys.*': (
        *('lr_mult', 'decay_mult', 'betas', 'eps', 'momentum'),
    ),
    '*.batch_augments': ('augments', 'probs'),
    'model*.train_cfg': ('augments', 'probs'),  # of mmpretrain's classifiers
    **{
        f'{phase}_dataloader': (*LOADER, 'num_batch_per_epoch')
        for phase in ('train', 'val', 'test')
    },
}
#: Where a list of parts may stand.
LISTS = (
    *('pipeline', 'transforms', 'datasets', 'augments', 'param_scheduler', 'custom_hooks'),
    *('val_evaluator', 'test_evaluator', 'vis_backends', 'init_cfg'),
)
#: Where a part may be one of its own without a type, or a dict of parts.
UNTYPED = ('optim_wrapper', 'log_processor', 'data_preprocessor', 'default_hooks', 'model')
#: Top-level entries that a Runner cannot do without, and others that have to be dicts.
NEEDED = ('model', 'randomness', 'env_cfg')
DICTS = (*NEEDED, 'train_cfg', 'val_cfg', 'test_cfg', 'default_hooks', 'auto_scale_lr')
#: Packages whose classes pass their remaining arguments to the parent. Those of mmpretrain may
#: pass them elsewhere; the receiver then reports an unknown one.
UPWARDS = ('transmamba_mm.', 'mmengine.', 'torch.', 'mmcv.')
#: Loops that mmengine chooses where a config names none.
LOOPS = {'val_cfg': 'ValLoop', 'test_cfg': 'TestLoop'}


def default_type(path: str, node: Mapping[str, Any]) -> str | None:
    """The type that mmengine builds from a part without a type at ``path``."""
    if path == 'train_cfg':
        loops = {True: 'EpochBasedTrainLoop', False: 'IterBasedTrainLoop'}
        return loops.get(node.get('by_epoch'))  # type: ignore[arg-type]
    defaults = {**LOOPS, 'optim_wrapper': 'OptimWrapper', 'log_processor': 'LogProcessor'}
    return defaults.get(path)


def registry_of(path: str, inherited: Registry | None) -> Registry | None:
    """The registry that a part at the dotted ``path`` is looked up in."""
    if path in ('train_cfg', 'val_cfg', 'test_cfg'):
        return ours.mmpretrain.LOOPS
    if path.startswith(('default_hooks.', 'custom_hooks.')) and path.count('.') == 1:
        return ours.HOOKS
    return REGISTRIES.get(path.rpartition('.')[2], inherited)


def find_type(kind: Any, registry: Registry) -> Any:
    """The class or function of a name; None if there is none of it."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    try:
        found = registry.get(kind)
    except (RuntimeError, TypeError):  # what mmengine cannot take apart: '', '.Vim'
        return None
    return found if callable(found) else None  # 'torch' is a module


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
