"""Text-video retrieval: a Mamba vision backbone and a text tower with a shared embedding space."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import FeatureSource, layout_of
from transmamba_mm.models.retrieval.contrastive import FIRST_LOG_SCALE
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder
from transmamba_mm.models.retrieval.reranker import CrossReranker
from transmamba_mm.models.retrieval.temporal_pooling import build_pooling, pooled_frames
from transmamba_mm.models.towers import TEXT, Tower
from transmamba_mm.registry import MODELS, build_in_scope


@MODELS.register_module()
class VideoTextRetriever(DualEncoder):
    """Find videos by text and texts by video.

    A backbone of clips (VideoMamba) encodes all frames at once, including padding frames, which
    repeat the last one. A backbone of images (Vim, VMamba, ``ClipVision``) encodes each frame
    alone, and ``temporal`` pools them without the padding frames.

    A caption is read at its last token, the ``eos_token``.

    Args:
        vision (dict | nn.Module): A backbone; of feature maps the mean over patches is taken.
        text (dict | nn.Module): ``ClipText``, :class:`~transmamba_mm.models.hf.MambaLM`,
            :class:`~transmamba_mm.models.hf.CausalAttentionSwap`, or another causal model of
            transformers.
        tokenizer: See :class:`DualEncoder`; by default the one beside the text tower's checkpoint.
        embed_dims (int): Width D of the common space.
        temporal (str | dict): 'mean', 'mamba' or 'transformer', or such as
            ``dict(type='mamba', num_layers=1, state_dims=16)``; for backbones of images.
        rerank (dict, optional): Arguments of :class:`CrossReranker`, but for the widths
            (``dict(top_k=10)``); the backbone has to hand out feature maps. None: there is no
            re-ranker, and not a parameter of it.
        **kwargs: See :class:`DualEncoder`.

    Raises:
        UserError: A backbone that hands out raw tokens, or no feature map for a re-ranker; a
            ``temporal`` that is unknown; a tokenizer with a larger vocabulary than the text
            tower, or an unsupported one.
    """

    def __init__(
        self,
        vision: dict | nn.Module,
        text: dict | nn.Module,
        tokenizer: Any = None,
        embed_dims: int = 512,
        temporal: str | dict = 'mean',
        rerank: dict | None = None,
        **kwargs,
    ) -> None:
        text_tower: Any = build_in_scope(MODELS, text)
        super().__init__(_tokenizer_of(text_tower) if tokenizer is None else tokenizer, **kwargs)
        self.vision: Any = build_in_scope(MODELS, vision)
        self.text = text_tower
        self.check_words()
        _freeze_unused(text_tower)
        if getattr(self.vision, 'out_type', None) == 'raw':
            raise UserError(
                "The vision backbone gives out_type='raw': choose 'cls_token', 'avg_featmap' or "
                "'featmap'."
            )
        width = layout_of(self.vision).layer_dims()[-1]
        pooling = build_pooling(temporal, width)  # a typo is one, needed or not
        self.temporal = None if self.sees_clips else pooling
        self.visual_projection = nn.Linear(width, embed_dims, bias=False)
        self.text_projection = nn.Linear(text_tower.config.hidden_size, embed_dims, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))
        if rerank is not None:
            if not isinstance(rerank, Mapping):
                raise UserError(f'rerank={rerank!r} is no config: write rerank=dict(top_k=10).')
            out_type = getattr(self.vision, 'out_type', 'featmap')
            if out_type != 'featmap':
                raise UserError(
                    f'The vision backbone gives out_type={out_type!r}, but rerank reads its '
                    "patches: set out_type='featmap', or rerank=None."
                )
            self.reranker = CrossReranker(width, text_tower.config.hidden_size, **rerank)

    @property
    def sees_clips(self) -> bool:
        """Whether the backbone takes clips as they are."""
        return hasattr(self.vision, 'num_frames')

    @property
    def text_encoder(self) -> Any:
        """The text tower."""
        return self.text

    @property
    def log_scale(self) -> nn.Parameter:
        """Logarithm of what cosines are multiplied with, learned."""
        return self.logit_scale

    def scalars(self) -> dict[str, str]:
        """The scale."""
        return {'logit_scale': 'logit_scale'}

    def frame_embeddings_source(self) -> FeatureSource:
        """Frames (B, T, D), projected: of a clip's feature map, or what ``temporal`` averages.

        Raises:
            UserError: A backbone of clips that does not give a feature map; ``temporal='mamba'``.
        """
        if not self.sees_clips:
            source = pooled_frames(self.temporal, 'temporal')
            return replace(
                source, read=lambda called, _: self.visual_projection(source.read(called, _))
            )
        if self.vision.out_type != 'featmap':
            raise UserError(
                f'The vision backbone gives out_type={self.vision.out_type!r}, in which frames are '
                "not apart: set out_type='featmap', or frame_weight=0 of the distiller."
            )
        return FeatureSource('vision', self._frames)

    def towers(self) -> dict[str, Tower]:
        """The vision backbone and the text encoder."""
        dims = self.visual_projection.out_features
        return {
            'vision': Tower(
                'vision',
                self.vision,
                heads={'head': 'visual_projection'},
                embeddings=self.embedding_source(of_text=False),
                embedding_dims=dims,
            ),
            'text': Tower(
                'text',
                self.text,
                TEXT,
                heads={'head': 'text_projection'},
                embeddings=self.embedding_source(of_text=True),
                embedding_dims=dims,
            ),
        }

    def encode_frames(self, clips: Tensor) -> Tensor:
        """Features of clips (B, C, T, H, W).

        (B, D) or a map (B, D, T, H, W) of a backbone of clips, (B, T, D) or (B, T, D, H, W) of one
        of images.
        """
        if self.sees_clips:
            return self.vision(clips)[-1]
        frames = clips.transpose(1, 2)  # (B, T, C, H, W)
        return self.vision(frames.flatten(0, 1))[-1].unflatten(0, frames.shape[:2])

    def pool_video(self, seen: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Embeddings (B, D), of any length, of features."""
        if self.sees_clips:
            return self.visual_projection(_pooled(seen))
        frames = _pooled(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        return self.visual_projection(self.temporal(frames, frame_mask))

    def _frames(self, seen: tuple[Tensor], tokens: Any) -> Tensor:
        return self.visual_projection(seen[-1].mean((-2, -1)).transpose(1, 2))  # of (B, D, T, H, W)

    def patches(self, seen: Tensor, frame_mask: Tensor | None) -> list[Tensor]:
        """Tokens (L, D) of each clip for the re-ranker, of feature maps."""
        if self.sees_clips:  # padding frames were encoded, too
            return self.reranker.patches(seen.transpose(1, 2))
        return self.reranker.patches(seen, frame_mask)

    def pool_text(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, D), of any length, of the last of tokens (B, T, E)."""
        return self.text_projection(tokens[:, -1].to(self.text_projection.weight.dtype))


def _pooled(feature: Tensor) -> Tensor:
    """The mean over the places of a feature map (B, D, ...)."""
    return feature if feature.dim() == 2 else feature.flatten(2).mean(-1)


def _tokenizer_of(text: Any) -> Any:
    from transmamba_mm.models.hf.pretrained import load_tokenizer

    return load_tokenizer(text.config.name_or_path)


def _freeze_unused(text: Any) -> None:
    """Freeze a language model's head: no gradient reaches it here, and DDP would fail."""
    head = text.get_output_embeddings()
    if head is not None and head.weight is not text.get_input_embeddings().weight:
        head.requires_grad_(False)
