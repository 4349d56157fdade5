"""The registries of ``transmamba_mm``: children of mmpretrain's, in scope ``transmamba_mm``.

A name that is not found here is looked up in mmpretrain and then in mmengine, so a config with
``default_scope = 'transmamba_mm'`` may use ``ImageClassifier`` or ``Accuracy`` without a prefix.

Every registry is also made known to its root in mmengine: ``Registry.get`` resolves
``'transmamba_mm.Vim'`` only among the direct children of the registry it is asked on and of the
root, so without that a detector of mmdet (a sibling, not an ancestor) could not name our parts.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from transmamba_mm.compat import (
    announce_models,
    internal,
    log_through_mmengine,
    prepare_torchvision,
)
from transmamba_mm.errors import UserError

log_through_mmengine()
prepare_torchvision()  # before the first import of mmpretrain, which imports torchvision

from mmpretrain import registry as mmpretrain  # noqa: E402

SCOPE = 'transmamba_mm'

announce_models()


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    """Create a registry of ours below ``parent`` that imports ``locations`` on first use."""
    child = Registry(
        name,
        parent=parent,
        scope=SCOPE,
        locations=[f'transmamba_mm.{place}' for place in locations],
    )
    root = parent
    while root.parent is not None:
        root = root.parent
    if root is not parent and SCOPE not in root.children:
        internal(root, '_add_child')(child)
    return child


def build_in_scope(registry: Registry, part: Any, **defaults) -> Any:
    """Build a part of a model of ours, whatever scope the rest of the config is in.

    Names without a scope are looked up here first, then as in any config of ours. Without that a
    model of ours inside another project's would have that project's parts of the same name, or
    none.

    Args:
        registry (Registry): One of ours.
        part: A config; what is built already, or None, stays as it is.
        **defaults: Arguments that the config may lack.

    Raises:
        UserError: A name alone.
    """
    if isinstance(part, str):
        raise UserError(f'{part!r} is a name alone: write dict(type={part!r}, ...).')
    if not isinstance(part, Mapping):
        return part
    return registry.build({'_scope_': SCOPE, **defaults, **part})


#: Backbones, necks, heads, algorithms: anything that is a ``torch.nn.Module``.
MODELS = _child('model', mmpretrain.MODELS, 'models', 'transfer')
#: What compares a student's record with a teacher's: ``forward(student, teacher) -> losses``.
DISTILLERS = Registry('distiller', scope=SCOPE, locations=['transmamba_mm.distillers'])
#: Data sets.
DATASETS = _child('dataset', mmpretrain.DATASETS, 'datasets')
#: Steps of a data pipeline.
TRANSFORMS = _child('transform', mmpretrain.TRANSFORMS, 'datasets')
#: Augmentations of a whole batch on its device.
BATCH_AUGMENTS = _child('batch augment', mmpretrain.BATCH_AUGMENTS, 'datasets')
#: Tokenizers.
TOKENIZERS = _child('tokenizer', mmpretrain.TOKENIZER, 'models')
#: Metrics.
METRICS = _child('metric', mmpretrain.METRICS, 'evaluation')
#: Hooks of the runner.
HOOKS = _child('hook', mmpretrain.HOOKS, 'engine')
#: Constructors of optimizers.
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS.name, mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS, 'engine'
)
#: Training loops.
LOOPS = _child('loop', mmpretrain.LOOPS, 'engine')
#: What runs forward, backward and step.
OPTIM_WRAPPERS = _child('optim_wrapper', mmpretrain.OPTIM_WRAPPERS, 'engine')

# Kinds without a class of ours. Without a child in our scope mmengine warns at each of them and
# skips what mmpretrain adds (its visualizer, samplers, optimizers).
for _kind in (
    *('DATA_SAMPLERS', 'EVALUATORS', 'LOG_PROCESSORS', 'MODEL_WRAPPERS', 'OPTIMIZERS'),
    *('PARAM_SCHEDULERS', 'RUNNERS'),
    *('RUNNER_CONSTRUCTORS', 'TASK_UTILS', 'VISBACKENDS', 'VISUALIZERS', 'WEIGHT_INITIALIZERS'),
):
    _parent = getattr(mmpretrain, _kind)
    _child(_parent.name, _parent, 'engine')
