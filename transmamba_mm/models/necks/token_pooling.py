"""Pool the tokens of a Vision Transformer into one vector, as some teachers do."""

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, INDEX, POSITIVE, checked, one_of
from transmamba_mm.registry import MODELS

ACTIVATIONS = {'gelu': 'none', 'gelu_tanh': 'tanh'}


@MODELS.register_module()
class TokenPooling(BaseModule):
    """The cls token, (B, D), or with the mean patch beside it, (B, 2D), as DINOv2's classifiers do.

    Args:
        kind (str): 'cls' or 'cls_mean'.
        num_extra_tokens (int): Tokens in front of the patches; the first is cls.
    """

    @checked(kind=one_of('cls', 'cls_mean'), num_extra_tokens=COUNT)
    def __init__(self, kind: str, num_extra_tokens: int = 1) -> None:
        super().__init__()
        self.kind = kind
        self.num_extra_tokens = num_extra_tokens

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Pool the last of several features (B, tokens, D), of ``out_type='raw'``."""
        tokens = inputs[-1]
        pooled = tokens[:, 0]
        if self.kind == 'cls_mean':
            pooled = torch.cat([pooled, tokens[:, self.num_extra_tokens :].mean(1)], dim=-1)
        return (pooled,)


@MODELS.register_module()
class AttentionPooling(BaseModule):
    """A learned query attends to all patches, then an MLP: (B, D). SigLIP's (arXiv 2303.15343).

    Args:
        embed_dims (int): D.
        num_heads (int): Heads of the attention.
        feedforward_channels (int): Hidden units of the MLP.
        num_extra_tokens (int): Tokens in front of the patches, which are left out.
        eps (float): Of the norm.
        activation (str): 'gelu' or 'gelu_tanh'.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.
    """

    @checked(
        embed_dims=COUNT,
        num_heads=COUNT,
        feedforward_channels=COUNT,
        num_extra_tokens=INDEX,
        eps=POSITIVE,
        activation=one_of(*ACTIVATIONS),
    )
    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        num_extra_tokens: int = 0,
        eps: float = 1e-6,
        activation: str = 'gelu',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_extra_tokens = num_extra_tokens
        self.query = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.attention: Any = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(embed_dims, eps)
        self.fc1 = nn.Linear(embed_dims, feedforward_channels)
        self.act = nn.GELU(approximate=ACTIVATIONS[activation])
        self.fc2 = nn.Linear(feedforward_channels, embed_dims)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Pool the last of several features (B, tokens, D), of ``out_type='raw'``."""
        patches = inputs[-1][:, self.num_extra_tokens :]
        query = self.query.expand(len(patches), -1, -1)
        pooled, _ = self.attention(query, patches, patches, need_weights=False)
        return ((pooled + self.fc2(self.act(self.fc1(self.norm(pooled)))))[:, 0],)
