"""CLIP over frames, as a text-video retrieval teacher."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.checks import FLAG, checked, one_of
from transmamba_mm.models.hf.vision_encoder import load_vision_encoder
from transmamba_mm.models.layouts import FeatureSource, layout_of
from transmamba_mm.models.retrieval.contrastive import l2_normalize
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder
from transmamba_mm.models.retrieval.temporal_pooling import build_pooling, pooled_frames
from transmamba_mm.models.towers import TEXT, Tower
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class Clip4ClipTeacher(DualEncoder):
    """Transformers' ``CLIPModel`` (arXiv 2103.00020) as a dual encoder of videos.

    CLIP embeds each frame; the unit vectors of the real ones are averaged (meanP of CLIP4Clip,
    arXiv 2104.08860). A mean ignores the order of frames: where captions depend on it, train
    a teacher with ``temporal='transformer'`` (seqTransf).

    Args:
        config (dict, optional): Of a new model: the keys of ``CLIPConfig``, with ``vision_config``
            and ``text_config``.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub (``openai/clip-vit-base-patch32``); read without running code.
        tokenizer: See :class:`DualEncoder`; by default the checkpoint's.
        dtype (str | torch.dtype, optional): By default float32 for a new model, the checkpoint's
            own otherwise.
        out_type (str): Feature of a frame: 'cls_token', CLIP's own, or 'avg_featmap', the mean
            of its patches, which CLIP's checkpoints are not trained for. Then the patches,
            which distillation matches, carry the embedding.
        temporal (str | dict): See :func:`~.temporal_pooling.build_pooling`; whatever it learns is
            not part of ``checkpoint``, so it has to be trained.
        vision_checkpoint (str, optional): Of a new model: a work_dir or file of a classifier whose
            backbone is :class:`~transmamba_mm.models.backbones.ClipVision`. Its weights are what
            :meth:`init_weights` begins with; they are trained on, as CLIP4Clip trains CLIP's.
        weights (bool): False: of ``checkpoint`` only the architecture and the tokenizer are read;
            the weights are about to be loaded from elsewhere.
        **kwargs: See :class:`DualEncoder`.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing, incomplete or of another architecture; a tokenizer that does
            not fit; an unknown ``out_type`` or ``temporal``.
    """

    @checked(out_type=one_of('cls_token', 'avg_featmap'), weights=FLAG)
    def __init__(
        self,
        config: dict | None = None,
        checkpoint: str | Path | None = None,
        tokenizer: Any = None,
        dtype: str | torch.dtype | None = None,
        out_type: str = 'cls_token',
        temporal: str | dict = 'mean',
        vision_checkpoint: str | Path | None = None,
        weights: bool = True,
        **kwargs,
    ) -> None:
        from transformers import CLIPModel

        from transmamba_mm.models.hf.model_source import CLIP, ModelSource
        from transmamba_mm.models.hf.pretrained import load_tokenizer

        kinds = {'clip': CLIPModel}
        source = ModelSource('Clip4ClipTeacher', kinds, config, checkpoint, **CLIP)
        super().__init__(load_tokenizer(checkpoint) if tokenizer is None else tokenizer, **kwargs)
        self.model: Any = source.build(dtype, weights)
        if checkpoint is not None and weights:
            self.is_init = True  # or init_weights would reinitialize it
        self.check_words()
        self.out_type = out_type
        self.temporal = build_pooling(temporal, self.model.config.projection_dim)
        self.vision_checkpoint = vision_checkpoint

    def init_weights(self) -> None:
        """Initialize a new model; its vision encoder comes from ``vision_checkpoint``."""
        super().init_weights()
        if self.vision_checkpoint is not None:
            load_vision_encoder(self.model.vision_model, self.vision_checkpoint)

    @property
    def text_encoder(self) -> Any:
        """CLIP's text Transformer."""
        return self.model.text_model

    @property
    def log_scale(self) -> nn.Parameter:
        """Logarithm of what cosines are multiplied with, CLIP's own."""
        return self.model.logit_scale

    def scalars(self) -> dict[str, str]:
        """The scale."""
        return {'logit_scale': 'model.logit_scale'}

    def frame_embeddings_source(self) -> FeatureSource:
        """Frames (B, T, D) as ``temporal`` averages them: behind its Transformer, if it has one.

        Raises:
            UserError: ``temporal='mamba'``, which scans clips of each length apart.
        """
        return pooled_frames(self.temporal, 'temporal')

    def towers(self) -> dict[str, Tower]:
        """CLIP's two Transformers."""
        dims = self.model.config.projection_dim
        return {
            'vision': Tower(
                'model.vision_model',
                self.model.vision_model,
                heads={'head': 'model.visual_projection'},
                embeddings=self.embedding_source(of_text=False),
                embedding_dims=dims,
            ),
            'text': Tower(
                'model.text_model',
                self.model.text_model,
                TEXT,
                heads={'head': 'model.text_projection'},
                embeddings=self.embedding_source(of_text=True),
                embedding_dims=dims,
            ),
        }

    def encode_frames(self, clips: Tensor) -> Tensor:
        """Unit vectors (B, T, D) of the frames of clips (B, C, T, H, W)."""
        vision, size = self.model.vision_model, clips.shape[-2:]
        layout_of(vision).layer_grids(size)  # or transformers cuts off what patches do not cover
        frames = clips.transpose(1, 2).to(self.model.dtype)  # (B, T, C, H, W)
        seen = vision(
            pixel_values=frames.flatten(0, 1),
            interpolate_pos_encoding=any(side != vision.config.image_size for side in size),
        )
        feature = seen.pooler_output
        if self.out_type == 'avg_featmap':
            core = getattr(vision, 'vision_model', vision)  # which some versions wrap once more
            feature = core.post_layernorm(seen.last_hidden_state[:, 1:].mean(1))
        return l2_normalize(self.model.visual_projection(feature)).unflatten(0, frames.shape[:2])

    def pool_video(self, seen: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Embeddings (B, D): the mean of the frames' unit vectors (B, T, D)."""
        return self.temporal(seen, frame_mask)

    def pool_text(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, D), of any length, of the last of tokens (B, T, E)."""
        return self.model.text_projection(tokens[:, -1])
