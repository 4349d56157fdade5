"""The student alone, out of a transfer's config and checkpoint."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from torch import Tensor

from transmamba_mm.checkpoint import resolve_checkpoint
from transmamba_mm.transfer_checkpoint import STUDENT

SCOPE = 'transmamba_mm'
#: Top-level keys of a transfer's config that its student's needs, too.
EXPORTED = (
    *('custom_imports', 'data_preprocessor', 'env_cfg', 'scan_backend', 'keep_freed_memory'),
    *('test_dataloader', 'test_evaluator', 'test_cfg'),
)


def student_config(model: ConfigDict) -> ConfigDict:
    """Return the student of a ``KnowledgeTransfer`` config; any other model is its own student."""
    return model.student if 'student' in model else model


def trained_student_config(model: ConfigDict, checkpoint: str) -> ConfigDict:
    """Return the student of a config, to be filled from ``checkpoint``.

    The checkpoints it was once made from are not read; see ``transmamba_mm.models.hf.hf_assets``.

    Raises:
        UserError: No such checkpoint.
    """
    from transmamba_mm.models.hf.hf_assets import without_weights

    return without_weights(student_config(model), resolve_checkpoint(checkpoint).parent)


def exported_config(cfg: Config, folder: str | Path) -> Config:
    """The student's own config: what its tests, its predictions and mmpretrain's tools read.

    Args:
        cfg (Config): Of the transfer, or of the student already.
        folder (str | Path): Of the export, where ``models.architectures`` are beside it.
    """
    from transmamba_mm.models.hf.hf_assets import without_weights

    model = without_weights(student_config(cfg.model), Path(folder).absolute())
    kept = {key: cfg[key] for key in EXPORTED if cfg.get(key) is not None}
    if 'data_preprocessor' in kept:  # mmpretrain reads it here, a transfer's is beside the student
        model.setdefault('data_preprocessor', kept['data_preprocessor'])
    return Config(_with_scope({'default_scope': 'transmamba_mm', **kept, 'model': model}))


def _with_scope(part: Any) -> Any:
    """A config whose types of ours can be built in any scope, such as mmpretrain's."""
    if isinstance(part, Mapping):
        scoped = {key: _with_scope(value) for key, value in part.items()}
        if scoped.get('type') in _own_types():
            scoped['type'] = f'{SCOPE}.{scoped["type"]}'
        return scoped
    return [_with_scope(value) for value in part] if isinstance(part, list | tuple) else part


@cache
def _own_types() -> set[str]:
    from transmamba_mm import registry

    types: set[str] = set()
    for item in vars(registry).values():
        if isinstance(item, registry.Registry) and item.scope == SCOPE:
            item.import_from_location()
            types |= {*item.module_dict}
    return types


def student_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the student's weights under the names it has on its own.

    A state dict that is not a transfer's is the student's already.
    """
    weights = {
        key.removeprefix(STUDENT): value
        for key, value in state_dict.items()
        if key.startswith(STUDENT)
    }
    return weights or dict(state_dict)
