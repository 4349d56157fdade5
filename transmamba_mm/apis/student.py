"""The student alone, out of a transfer's config and checkpoint."""

from collections.abc import Mapping

from mmengine.config import ConfigDict
from torch import Tensor

PREFIX = 'student.'


def student_config(model: ConfigDict) -> ConfigDict:
    """Return the student of a ``KnowledgeTransfer`` config; any other model is its own student."""
    return model.student if 'student' in model else model


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
