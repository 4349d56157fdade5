"""Whether the configs of a study can be compared, and take its options."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS


def check_configs(configs: Mapping[tuple[str, str], Config], options: Mapping[str, Any]) -> None:
    """Raise UserError unless the runs of a study can be made.

    Args:
        configs (Mapping[tuple[str, str], Config]): By path and method.
        options (Mapping): Of the study; each has to be a key of one of them.
    """
    for key in options:
        if not any(has_key(cfg, key) for cfg in configs.values()):
            raise UserError(f'No config of this study has {key!r}: remove it from options.')
    for (name, _), cfg in configs.items():
        if cfg.train_cfg.get('max_iters') is None:
            raise UserError(
                f'{name} counts epochs: a study compares at an equal number of steps, so use '
                'an iteration-based schedule (train_cfg.max_iters).'
            )
        dataset = DATASETS.get(cfg.train_dataloader.dataset.type)
        makers = [kind.__init__ for kind in dataset.__mro__]  # some pass **kwargs on
        if not any('fraction' in inspect.signature(maker).parameters for maker in makers):
            raise UserError(f'{dataset.__name__} cannot be subsampled: it takes no fraction.')


def has_key(cfg: Config | Mapping, dotted: str) -> bool:
    """Whether ``dotted`` (``a.b.0.c``) leads somewhere in ``cfg``."""
    node: Any = cfg
    for name in dotted.split('.'):
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif hasattr(node, 'keys') and name in node:
            node = node[name]
        else:
            return False
    return True
