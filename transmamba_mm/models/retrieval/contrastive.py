"""Contrastive loss of texts and videos: similarities, positives, loss."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
import torch.distributed.nn.functional as dist_nn
import torch.nn.functional as F
from mmengine import dist
from torch import BoolTensor, LongTensor, Tensor, nn

#: Of the logarithm of the scale; CLIP starts at a temperature of 0.07 and never goes below 0.01.
FIRST_LOG_SCALE, MAX_LOG_SCALE = math.log(1 / 0.07), math.log(100)


class Similarity(nn.Module):
    """Scaled similarity of each text with each video; a module, to be recorded."""

    def forward(self, texts: Tensor, videos: Tensor, log_scale: Tensor) -> Tensor:
        """(B_text, D) and (B_video, D), normalized, to (B_text, B_video); never in half precision.

        Args:
            texts, videos (Tensor): Embeddings.
            log_scale (Tensor): Logarithm of what cosines are multiplied with.
        """
        with torch.autocast(texts.device.type, enabled=False):
            return log_scale.to(texts.dtype).exp() * texts @ videos.T


def l2_normalize(embeddings: Tensor) -> Tensor:
    """Embeddings (B, D) of length 1, in float32 or wider."""
    wide = torch.promote_types(embeddings.dtype, torch.float32)
    return F.normalize(embeddings.to(wide), dim=-1)


def contrastive_loss(similarity: Tensor, positives: BoolTensor) -> Tensor:
    """Symmetric cross-entropy (CLIP, arXiv 2103.00020) over rows and over columns.

    The target of a row with several positives weighs them equally (UniCL, arXiv 2204.03610): they
    are no false negatives of each other.

    Args:
        similarity (Tensor): Scaled, (B, B), texts by videos.
        positives (BoolTensor): (B, B), which belong together; the diagonal is True.
    """
    wanted = positives.to(similarity.dtype)
    rows = F.cross_entropy(similarity, wanted / wanted.sum(1, keepdim=True))
    columns = F.cross_entropy(similarity.T, wanted.T / wanted.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def sample_ids(samples: Sequence[Any], texts: Sequence[str], device: torch.device) -> LongTensor:
    """Hashed ids (B, 3) that mark positives: of the text, ``caption_id`` and ``video_id``.

    They mean the same on every process. A sample without an id has a number of its own.
    """

    def number(row: int, column: int, value: Any) -> int:
        alone = f'{dist.get_rank()} {row}'
        name = f'{column} {alone if value is None else repr(value)} {value is None}'
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)

    rows = [
        [
            number(row, column, value)
            for column, value in enumerate(
                (
                    ' '.join(text.lower().split()),
                    sample.get('caption_id'),
                    sample.get('video_id'),
                )
            )
        ]
        for row, (sample, text) in enumerate(zip(samples, texts, strict=True))
    ]
    return torch.tensor(rows, dtype=torch.long, device=device).view(-1, 3)


def positive_mask(ids: LongTensor) -> BoolTensor:
    """Mask (B, B) of samples that share one of their ``sample_ids``."""
    return (ids[:, None] == ids[None]).any(-1)


def all_gather_with_grad(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; each has to have equally many.

    Gradients flow back to the process that the rows came from and are summed there. So a loss that
    every process computes of all rows reaches a parameter W times, which the average of DDP over W
    processes undoes: the gradient is that of one big batch.
    """
    if dist.get_world_size() == 1:
        return tensor
    if not tensor.requires_grad:
        return torch.cat(dist.all_gather(tensor))
    return torch.cat(dist_nn.all_gather(tensor))
