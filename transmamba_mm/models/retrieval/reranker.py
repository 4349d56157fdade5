"""Re-rank search results with cross-Mamba over video and text together."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import BoolTensor, Tensor, nn

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.registry import MODELS, build_in_scope


class CrossReranker(nn.Module):
    """Score how well a text fits a video, with visual tokens conditioned on the text.

    In two towers each side is one vector to the other. Here the patches of all frames flow through
    :class:`~transmamba_mm.models.necks.CrossMamba` (TransMamba v1, arXiv 2502.15130) with the
    tokens of the caption; their mean becomes one score. That costs a scan for each pair, so it is
    for the ``top_k`` that the towers found. It is learned beside the contrastive loss, as the
    image-text matching of ALBEF (arXiv 2107.07651).

    Args:
        visual_dims (int): Width D of the patches.
        text_dims (int): Width E of the text tower's tokens.
        top_k (int): How many of the nearest are put into a new order.
        grid (int, optional): Patches of a frame are averaged to at most ``grid`` x ``grid``, or an
            evaluation would have to keep 196 of each frame; None keeps all.
        **cross_mamba: Of ``CrossMamba``.

    Raises:
        UserError: ``top_k`` or ``grid`` is not positive.
    """

    @checked(top_k=COUNT, grid=COUNT)
    def __init__(
        self,
        visual_dims: int,
        text_dims: int,
        top_k: int = 10,
        grid: int | None = 4,
        **cross_mamba,
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.grid = grid
        widths = {'visual_dims': visual_dims, 'text_dims': text_dims}
        self.cross_mamba = build_in_scope(MODELS, {'type': 'CrossMamba', **cross_mamba}, **widths)
        self.norm = nn.LayerNorm(visual_dims)
        self.head = nn.Linear(visual_dims, 1)

    def patches(self, maps: Tensor, frame_mask: Tensor | None = None) -> list[Tensor]:
        """Tokens (L, D) of each clip, out of the feature maps (B, T, D, H, W) of its frames.

        Frames masked by ``frame_mask`` (B, T) are left out, so L may differ.
        """
        size = [side if self.grid is None else min(side, self.grid) for side in maps.shape[-2:]]
        maps = F.adaptive_avg_pool2d(maps.flatten(0, 1), size).unflatten(0, maps.shape[:2])
        tokens = maps.flatten(3).transpose(2, 3)  # (B, T, H * W, D)
        if frame_mask is None:
            return list(tokens.flatten(1, 2))
        real = frame_mask | ~frame_mask.any(1, keepdim=True)  # all, if none is real
        return [clip[frames].flatten(0, 1) for clip, frames in zip(tokens, real, strict=True)]

    def forward(self, patches: Sequence[Tensor], words: Tensor, mask: Tensor) -> Tensor:
        """Scores (n,), logits, of n pairs.

        Args:
            patches (Sequence[Tensor]): Of each video (L, D); those of one length share a scan, so
                there is no padding.
            words (Tensor): Token features of each text (n, M, E).
            mask (Tensor): (n, M), 0 at padding.
        """
        rows_of: dict[int, list[int]] = {}
        for row, tokens in enumerate(patches):
            rows_of.setdefault(len(tokens), []).append(row)
        parts = []
        for rows in rows_of.values():
            videos = torch.stack([patches[row] for row in rows])
            aware = self.cross_mamba(videos, words[rows], mask[rows])
            parts.append(self.head(self.norm(aware.mean(1))).squeeze(1))
        order = torch.tensor([row for rows in rows_of.values() for row in rows])
        return torch.cat(parts)[order.argsort().to(words.device)].float()

    def loss(
        self,
        patches: Sequence[Tensor],
        words: Tensor,
        mask: Tensor,
        similarity: Tensor,
        together: BoolTensor,
    ) -> Tensor:
        """Binary cross-entropy of B pairs that fit and of the most alike that do not.

        Each text meets its own video and the wrong video nearest to it, each video the nearest
        wrong text. Wrong ones come from this process's batch: patches of other processes would
        have to be sent and kept with their graphs. The average over processes, which is DDP's, is
        a loss over all pairs all the same.

        Args:
            patches, words, mask: Of B videos and their B texts, see :meth:`forward`.
            similarity (Tensor): (B, B), texts by videos.
            together (BoolTensor): (B, B), which fit; the diagonal is True.
        """
        own = torch.arange(len(words), device=words.device)
        wrong = similarity.detach().masked_fill(together, -torch.inf)
        texts = videos = (~together.all(1)).nonzero().squeeze(1)  # that have a wrong partner
        pairs = torch.cat(
            [
                torch.stack([own, own]),
                torch.stack([texts, wrong.argmax(1)[texts]]),
                torch.stack([wrong.argmax(0)[videos], videos]),
            ],
            dim=1,
        )
        logits = self(
            [patches[video] for video in pairs[1].tolist()], words[pairs[0]], mask[pairs[0]]
        )
        fits = torch.zeros_like(logits)
        fits[: len(own)] = 1
        return F.binary_cross_entropy_with_logits(logits, fits)
