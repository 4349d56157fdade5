"""Types of the parts of a config, and the keys of its parts without a type."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import FUNCTIONS, STRATEGIES, Registry
from torch.utils.data import DataLoader

from transmamba_mm import registry as ours

#: By the key, or the key of the list, where a part stands; others are of their surrounding's kind.
REGISTRIES: dict[str, Registry | None] = {
    'model': ours.MODELS,
    'backbone': ours.MODELS,
    'neck': ours.MODELS,
    'head': ours.MODELS,
    'loss': ours.MODELS,
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
    *('val_evaluator', 'test_evaluator', 'vis_backends', 'init_cfg', 'neck'),
)
#: Where a part may be one of its own without a type, or a dict of parts.
UNTYPED = (
    *('optim_wrapper', 'log_processor', 'data_preprocessor', 'default_hooks', 'model'),
    *('backbone', 'neck', 'head', 'loss'),  # their builder names what has no type
)
#: Top-level entries that a Runner cannot do without, and others that have to be dicts.
NEEDED = ('model', 'randomness', 'env_cfg')
DICTS = (*NEEDED, 'train_cfg', 'val_cfg', 'test_cfg', 'default_hooks', 'auto_scale_lr')
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
