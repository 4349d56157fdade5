"""Official checkpoints to our models and back, whatever the family.

One module per family (``vim``, ...) maps its keys and names the model they need; the common part
(unwrapping, strictness, building) is here.
"""

import sys
from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from transmamba_mm.checks import check, one_of
from transmamba_mm.convert import mamba_lm, plainmamba, videomamba, vim, vmamba
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

FAMILIES: dict[str, ModuleType] = {
    'vim': vim,
    'vmamba': vmamba,
    'plainmamba': plainmamba,
    'mamba_lm': mamba_lm,
    'videomamba': videomamba,
}
IMAGENET_INPUT = {
    'mean': [123.675, 116.28, 103.53],
    'std': [58.395, 57.12, 57.375],
    'to_rgb': True,
}


def from_official(family: str, checkpoint: Mapping, weights: str = 'model') -> dict[str, Tensor]:
    """Spell an official checkpoint with our keys.

    Args:
        family (str): Name of the format; see :data:`FAMILIES`.
        checkpoint (Mapping): A bare state dict, or a training checkpoint that holds one under
            ``model``, ``module`` (DeepSpeed's), ``model_ema`` or ``state_dict``.
        weights (str): Which of them to take when there are several.

    Returns:
        dict[str, Tensor]: State dict of an mmpretrain ``ImageClassifier``.

    Raises:
        UserError: Unknown family; keys that the format does not have, by name.
    """
    return _adapter(family).from_official(unwrap(checkpoint, weights))


def to_official(family: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Spell the state dict of our ``ImageClassifier`` with the official keys.

    Raises:
        UserError: Unknown family; keys that the format does not have, by name.
    """
    return _adapter(family).to_official(state_dict)


def build_from_official(
    family: str, checkpoint: Mapping, img_size: int | tuple[int, int] | None = None, **overrides
) -> nn.Module:
    """Build the model an official checkpoint was made for, with its weights, in eval mode.

    Widths, depth and variants are inferred from keys and shapes. The rest is taken from the
    released recipe, unless ``overrides`` sets it.

    Args:
        family (str): Name of the format.
        checkpoint (Mapping): As in :func:`from_official`.
        img_size (int | tuple[int, int], optional): (height, width) the model is for; position
            embeddings are resized to it. Not for a language model.
        **overrides: Arguments of the backbone, by our name or the official one
            (``average_directions`` or ``if_divide_out``, for instance).

    Returns:
        nn.Module: An ``ImageClassifier``; ``model(images)`` gives logits, or features if the
        checkpoint has no head. For 'mamba_lm' a ``MambaLM``. In float32, or float64 for a
        checkpoint in float64.

    Raises:
        UserError: Weights that do not fit what was inferred or asked for, as a list, with the
            arch that would fit.
    """
    adapter = _adapter(family)
    state_dict = adapter.from_official(unwrap(checkpoint, overrides.pop('weights', 'model')))
    if hasattr(adapter, 'build'):  # anything but an image classifier
        model = adapter.build(state_dict, img_size, **overrides)
    else:
        if img_size is None:
            raise UserError(f'{family} reads images: set img_size to that of the model.')
        config = adapter.model_config(state_dict, img_size, **overrides)
        model = MODELS.build({**config, 'data_preprocessor': IMAGENET_INPUT})
        state_dict = adapter.fit_positions(state_dict, model.backbone)
    _check_fit(family, model, state_dict, img_size)
    if any(value.dtype == torch.float64 for value in state_dict.values()):
        model.double()
    model.load_state_dict(state_dict)
    return model.eval()


def unwrap(checkpoint: Mapping, weights: str = 'model') -> dict[str, Tensor]:
    """Find the state dict in a training checkpoint, and drop the prefix of a parallel wrapper."""
    for name in (weights, 'model', 'module', 'model_ema', 'state_dict'):
        if isinstance(checkpoint.get(name), Mapping):
            checkpoint = checkpoint[name]
            break
    return {key.removeprefix('module.'): value for key, value in checkpoint.items()}


def _adapter(family: str) -> ModuleType:
    check('the converter', 'family', family, one_of(*FAMILIES))
    return FAMILIES[family]


def _check_fit(
    family: str,
    model: nn.Module,
    given: Mapping[str, Tensor],
    img_size: int | tuple[int, int] | None,
) -> None:
    expected = model.state_dict()

    def shape(tensors: Mapping[str, Tensor], key: str) -> str:
        return str(tuple(tensors[key].shape)) if key in tensors else '-'

    rows = [
        f'  {key}: model {shape(expected, key)}, checkpoint {shape(given, key)}'
        for key in sorted(expected.keys() | given.keys())
        if shape(expected, key) != shape(given, key)
    ]
    if rows:
        raise UserError(
            f'The {family} checkpoint does not fit the model it was read as; these differ '
            '(- means absent). Check the overrides:\n'
            + '\n'.join([*rows, *_fitting_arch(family, model, given, img_size)])
        )


def _fitting_arch(
    family: str,
    model: nn.Module,
    given: Mapping[str, Tensor],
    img_size: int | tuple[int, int] | None,
) -> list[str]:
    """Name the arch of ``given`` if it is not the model's, as in the table ``ARCHS``."""
    adapter = _adapter(family)
    if not hasattr(adapter, 'model_config'):
        return []
    archs = sys.modules[type(model.backbone).__module__].ARCHS
    fitting, built = (
        adapter.model_config(tensors, img_size)['backbone']['arch']
        for tensors in (given, model.state_dict())
    )
    if fitting == built:
        return []
    names = [name for name, arch in archs.items() if arch == fitting]
    return [f'The arch that would fit: arch={names[0] if names else fitting!r}']
