"""A Vision Transformer with registers, as teacher."""

from typing import Any

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import nn

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class RegisterVisionTransformer(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` with registers behind its cls token (arXiv 2309.16588).

    They are further entries of ``cls_token``, (1, 1 + R, D). Tokens are cls, registers, patches.

    Args:
        num_registers (int): R.
        **kwargs: Of ``VisionTransformer``.
    """

    @checked(num_registers=COUNT)
    def __init__(self, *args: Any, num_registers: int = 4, **kwargs: Any) -> None:
        self.num_extra_tokens = 1 + num_registers  # positions are made for as many
        super().__init__(*args, **kwargs)
        self.cls_token = nn.Parameter(torch.zeros(1, 1 + num_registers, self.embed_dims))
