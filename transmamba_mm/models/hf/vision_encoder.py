"""Load a trained vision encoder into a new teacher."""

from pathlib import Path
from typing import Any

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip

VISION = 'backbone.model.'  # in the checkpoint of a classifier
WRAPPER = 'vision_model.'  # around the Transformer, in some versions of transformers


def load_vision_encoder(tower: Any, checkpoint: str | Path) -> None:
    """Load the backbone of a classifier, a ``ClipVision``, into a ``CLIPVisionModel``.

    Args:
        tower: Of transformers, alone or inside a CLIP or a LLaVA.
        checkpoint (str | Path): A work_dir or file; read without running code.

    Raises:
        UserError: A checkpoint that is missing, or of another vision encoder.
    """
    weights = load_state_dict(checkpoint)
    if is_openai_clip(weights):
        raise UserError(explain_clip(checkpoint))
    weights_of_encoder = {
        key.removeprefix(VISION).removeprefix(WRAPPER): value
        for key, value in weights.items()
        if key.startswith(VISION)
    }
    try:
        getattr(tower, 'vision_model', tower).load_state_dict(weights_of_encoder)
    except RuntimeError as error:
        raise UserError(
            f'{checkpoint} does not hold the vision encoder of this teacher ({error}): train a '
            'classifier whose backbone is a ClipVision with the same vision_config.'
        ) from error
