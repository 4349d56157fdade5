"""Small random models of other libraries, and the comparison with what was read of them."""

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from transmamba_mm.convert.teachers import PretrainedClassifier
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.teacher import load_strict


def randomize(model: nn.Module) -> nn.Module:
    """Move every weight away from its initial value, which may be 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def built(found: PretrainedClassifier) -> nn.Module:
    """The classifier of mmpretrain, its weights loaded strictly."""
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        model = MODELS.build(found.model)
    load_strict(model, found.state, found.source)
    return model.eval()


@torch.no_grad()
def largest_difference(model: nn.Module, found: PretrainedClassifier, size: int) -> float:
    """Between the logits of both, on random images, relative to the largest logit."""
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    theirs = model(images)
    theirs = theirs if isinstance(theirs, Tensor) else theirs.logits
    ours = built(found)(images, mode='tensor')
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
