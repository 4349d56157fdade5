"""Features of one forward pass, in canonical order."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.transfer.features.frames import mean_over_frames


class FeatureKind(str, Enum):
    """Kinds of features for distillers. A value names the field of :class:`Features`.

    The first are of matched layers; the method of ``TokenLayout`` of the same name has them.
    """

    LAYER_FEATURES = 'layer_features'
    DIRECTION_FEATURES = 'direction_features'
    MIXER_INPUTS = 'mixer_inputs'
    MIXER_OUTPUTS = 'mixer_outputs'
    ATTENTION_MAPS = 'attention_maps'
    KEYS_QUERIES = 'keys_queries'
    EMBEDDINGS = 'embeddings'
    FRAME_EMBEDDINGS = 'frame_embeddings'
    LOGITS = 'logits'
    LABELS = 'labels'


#: Kinds of a whole model; all others are kinds of a layer.
MODEL_KINDS = frozenset(
    {
        FeatureKind.EMBEDDINGS,
        FeatureKind.FRAME_EMBEDDINGS,
        FeatureKind.LOGITS,
        FeatureKind.LABELS,
    }
)


@dataclass
class TokenFeature:
    """Tokens of one layer in canonical order.

    Attributes:
        patches (Tensor): (B, L, D), or (B, K, L, D) of K scan directions, in raster order. Of a
            text tower the N tokens that both models have, (1, N, D).
        cls (Tensor | None): (B, D), where the model has a cls token.
        grid (tuple[int, ...]): Patch grid (H, W), L = H * W; (T, H, W) of a clip; (1, N) of text.
    """

    patches: Tensor
    cls: Tensor | None
    grid: tuple[int, ...]

    def join_frames(self, num_frames: int) -> 'TokenFeature':
        """The feature of B clips, of their B * T frames as images.

        The patches of all frames stand one after another, (B, T * L, D) on a grid (T, H, W), in
        each direction too; cls tokens are averaged.
        """
        frames = self.patches.unflatten(0, (-1, num_frames))  # (B, T, ..., L, D)
        cls = None if self.cls is None else mean_over_frames(self.cls, num_frames)
        return TokenFeature(frames.movedim(1, -3).flatten(-3, -2), cls, (num_frames, *self.grid))


@dataclass
class Features:
    """Features of one model; entry i of a list of layers belongs to layer match i.

    Kinds that the distiller does not compare stay empty.

    Attributes:
        layer_features (list[TokenFeature]): Residual stream after each layer.
        direction_features (list[TokenFeature]): What each scan direction contributes to its layer.
        mixer_inputs (list[TokenFeature]): What each attention or scan reads, behind the norm.
        mixer_outputs (list[TokenFeature]): What each attention or scan adds to the residual stream.
        attention_maps (list[Tensor]): Probabilities (B, heads, tokens, tokens), in the order of the
            model, extra tokens before the patches; rows of padding mean nothing. Of clips that are
            taken frame by frame (B * T, heads, tokens, tokens).
        keys_queries (list[TokenFeature]): Keys and queries of each attention, side by side; of each
            scan B and C, in each direction.
        embeddings (dict[str, Tensor]): Final embedding (B, D) of each tower that has one, by name.
        frame_embeddings (Tensor | None): What a retriever averages to the embedding of a clip,
            (B, T, D); of a padding frame that of the last real one.
        logits (Tensor | None): (B, classes).
        labels (Tensor | None): Class of each image (B,), of the student's side alone; of a mixed
            image the one with the largest share.
    """

    layer_features: list[TokenFeature] = field(default_factory=list)
    direction_features: list[TokenFeature] = field(default_factory=list)
    mixer_inputs: list[TokenFeature] = field(default_factory=list)
    mixer_outputs: list[TokenFeature] = field(default_factory=list)
    attention_maps: list[Tensor] = field(default_factory=list)
    keys_queries: list[TokenFeature] = field(default_factory=list)
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    frame_embeddings: Tensor | None = None
    logits: Tensor | None = None
    labels: Tensor | None = None

    def of_layers(self, kind: FeatureKind) -> list:
        """The list of a kind of layer feature."""
        return getattr(self, kind.value)


def class_labels(data_samples: Any) -> Tensor:
    """Class of each sample (B,), of mmpretrain's labels or of the scores of mixed ones."""
    return torch.stack(
        [
            sample.gt_score.argmax() if 'gt_score' in sample else sample.gt_label.squeeze()
            for sample in data_samples
        ]
    )
