"""Text-video retrieval: a Mamba that sees, a text tower, one space."""

from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.contrastive import FIRST_LOG_SCALE
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder
from transmamba_mm.models.retrieval.temporal_pooling import build_pooling
from transmamba_mm.models.teachers import token_layout
from transmamba_mm.models.towers import TEXT, Tower
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class VideoTextRetriever(DualEncoder):
    """Find videos by text and texts by video.

    A backbone of clips (VideoMamba) sees all frames at once; frames that only fill up a clip, which
    repeat its last one, are part of what it sees. A backbone of images (Vim, VMamba,
    ``ClipVision``) sees each frame alone, ``temporal`` pools them, and such frames do not count.

    A caption is read at its last token, the ``eos_token``.

    Args:
        vision (dict | nn.Module): A backbone; of feature maps the mean over patches is taken.
        text (dict | nn.Module): ``ClipText``, :class:`~transmamba_mm.models.language.MambaLM`, or
            another causal model of transformers.
        tokenizer: See :class:`DualEncoder`; by default the one beside the text tower's checkpoint.
        embed_dims (int): Width D of the common space.
        temporal (str | dict): 'mean' or 'mamba', or
            ``dict(type='mamba', num_layers=1, state_dims=16)``; for backbones of images.
        **kwargs: See :class:`DualEncoder`.

    Raises:
        UserError: A backbone that hands out raw tokens; a ``temporal`` that is unknown; a tokenizer
            that knows more words than the text tower, or that cannot be used.
    """

    def __init__(
        self,
        vision: dict | nn.Module,
        text: dict | nn.Module,
        tokenizer: Any = None,
        embed_dims: int = 512,
        temporal: str | dict = 'mean',
        **kwargs,
    ) -> None:
        text_tower: Any = MODELS.build(text) if isinstance(text, dict) else text
        super().__init__(_tokenizer_of(text_tower) if tokenizer is None else tokenizer, **kwargs)
        self.vision: Any = MODELS.build(vision) if isinstance(vision, dict) else vision
        self.text = text_tower
        self.check_words()
        _freeze_unused(text_tower)
        if getattr(self.vision, 'out_type', None) == 'raw':
            raise UserError(
                "The vision backbone gives out_type='raw': choose 'cls_token', 'avg_featmap' or "
                "'featmap'."
            )
        width = token_layout(self.vision).layer_dims()[-1]
        self.temporal = None if self.sees_clips else build_pooling(temporal, width)
        self.visual_projection = nn.Linear(width, embed_dims, bias=False)
        self.text_projection = nn.Linear(text_tower.config.hidden_size, embed_dims, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))

    @property
    def sees_clips(self) -> bool:
        """Whether the backbone takes clips as they are."""
        return hasattr(self.vision, 'num_frames')

    @property
    def reader(self) -> Any:
        """The text tower."""
        return self.text

    @property
    def log_scale(self) -> nn.Parameter:
        """Logarithm of what cosines are multiplied with, learned."""
        return self.logit_scale

    def towers(self) -> dict[str, Tower]:
        """What a teacher can teach: seeing and reading."""
        return {'vision': Tower('vision', self.vision), 'text': Tower('text', self.text, TEXT)}

    def see(self, clips: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Embeddings (B, D) of clips (B, C, T, H, W), of any length."""
        if self.sees_clips:
            return self.visual_projection(_pooled(self.vision(clips)[-1]))
        frames = clips.transpose(1, 2)  # (B, T, C, H, W)
        features = _pooled(self.vision(frames.flatten(0, 1))[-1])
        return self.visual_projection(
            self.temporal(features.unflatten(0, frames.shape[:2]), frame_mask)
        )

    def summarize(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, D), of any length, of the last of tokens (B, T, E)."""
        return self.text_projection(tokens[:, -1].to(self.text_projection.weight.dtype))


def _pooled(feature: Tensor) -> Tensor:
    """The mean over the places of a feature map (B, D, ...)."""
    return feature if feature.dim() == 2 else feature.flatten(2).mean(-1)


def _tokenizer_of(text: Any) -> Any:
    from transmamba_mm.models.language.pretrained import load_tokenizer

    return load_tokenizer(text.config._name_or_path)


def _freeze_unused(text: Any) -> None:
    """No gradient ever reaches a language model's head here, and DDP wants to know."""
    head = text.get_output_embeddings()
    if head is not None and head.weight is not text.get_input_embeddings().weight:
        head.requires_grad_(False)
