"""The student alone, out of a transfer's config and checkpoint."""

from collections.abc import Mapping

from mmengine.config import ConfigDict
from torch import Tensor

from transmamba_mm.checkpoint import locate

PREFIX = 'student.'


def student_config(model: ConfigDict) -> ConfigDict:
    """Return the student of a ``KnowledgeTransfer`` config; any other model is its own student."""
    return model.student if 'student' in model else model


def trained_student_config(model: ConfigDict, checkpoint: str) -> ConfigDict:
    """Return the student of a config, to be filled from ``checkpoint``.

    The checkpoints it was once made from are not read; see ``transmamba_mm.models.architectures``.

    Raises:
        UserError: No such checkpoint.
    """
    from transmamba_mm.models.architectures import without_weights

    return without_weights(student_config(model), locate(checkpoint).parent)


def student_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the student's weights under the names it has on its own.

    A state dict that is not a transfer's is the student's already.
    """
    weights = {
        key.removeprefix(PREFIX): value
        for key, value in state_dict.items()
        if key.startswith(PREFIX)
    }
    return weights or dict(state_dict)
