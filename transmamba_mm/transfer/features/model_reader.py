"""Record one model and read its features."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import FeatureSource, LayerPart, TokenLayout, layout_of
from transmamba_mm.models.token_batch import TokenBatch
from transmamba_mm.models.towers import Tower, view_of
from transmamba_mm.transfer.features.features import (
    MODEL_KINDS,
    FeatureKind,
    Features,
    TokenFeature,
)
from transmamba_mm.transfer.features.frames import mean_over_frames
from transmamba_mm.transfer.features.recorder import FeatureRecorder, Recording

#: Features of the matched layers of one tower.
LayerFeatures = dict[FeatureKind, list[Any]]
#: What a kind is of one branch of a layer: a method of ``TokenLayout``.
OF_PART = {
    (FeatureKind.LAYER_FEATURES, LayerPart.ATTENTION): 'middle_features',
    (FeatureKind.MIXER_INPUTS, LayerPart.MLP): 'mlp_inputs',
    (FeatureKind.MIXER_OUTPUTS, LayerPart.MLP): 'mlp_outputs',
}


class ModelReader:
    """Features of one model. It holds names only, so it reads copies of the model, too.

    Args:
        model (nn.Module): See :class:`~transmamba_mm.models.towers.ModelView`.
        layers (Mapping[str, Sequence[int]]): Layers to read, by tower; a layer may repeat.
        kinds (Collection[FeatureKind]): Kinds of features to read.
        embeddings (Sequence[str]): Towers whose final embeddings are read, if ``kinds`` has them.
        parts (Mapping[str, Sequence[LayerPart]], optional): What of each layer; by default all.
            Of a part, layer features are the residual stream behind it, mixer inputs and outputs
            are its own.

    Attributes:
        recorder (FeatureRecorder): Records the sources of the features.

    Raises:
        UserError: A kind that the model, or an MLP, does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Sequence[int]],
        kinds: Collection[FeatureKind],
        embeddings: Sequence[str] = (),
        parts: Mapping[str, Sequence[LayerPart]] | None = None,
    ) -> None:
        self.layers = {name: list(indices) for name, indices in layers.items()}
        self.parts = {
            name: list(parts[name]) if parts else [LayerPart.WHOLE] * len(indices)
            for name, indices in self.layers.items()
        }
        self.layer_kinds = [
            kind for kind in FeatureKind if kind in kinds and kind not in MODEL_KINDS
        ]
        self.reads_logits = FeatureKind.LOGITS in kinds
        self.reads_frames = FeatureKind.FRAME_EMBEDDINGS in kinds
        self.embeddings = list(embeddings) if FeatureKind.EMBEDDINGS in kinds else []
        view = view_of(model)
        towers = view.towers()
        sources = [
            source
            for name in self.layers
            for found in self._layer_sources(towers[name], name).values()
            for source in found
        ]
        sources += [_embeddings(towers[name]) for name in self.embeddings]
        sources += [view.logits_source()] if self.reads_logits else []
        sources += [view.frame_embeddings_source()] if self.reads_frames else []
        tokens = [view.token_batch_path] if view.token_batch_path else []
        self.recorder = FeatureRecorder.of_sources(model, sources, *tokens)

    def tokens(self, model: nn.Module, recording: Recording) -> TokenBatch | None:
        """The token batch of a recorded pass; None of a model without text."""
        path = view_of(model).token_batch_path
        return None if path is None else recording.outputs[path]

    def read(self, model: nn.Module, recording: Recording, size: tuple[int, ...]) -> Features:
        """All features of a model of images; ``size`` as in :meth:`read_images`."""
        features = self.read_model(model, recording, size)
        for name in self.layers:
            for kind, values in self.read_images(model, name, recording, size).items():
                features.of_layers(kind).extend(values)
        return features

    def read_images(
        self, model: nn.Module, name: str, recording: Recording, size: tuple[int, ...]
    ) -> LayerFeatures:
        """Layer features of a tower of images.

        Args:
            model (nn.Module): The recorded model.
            name (str): Of the tower.
            recording (Recording): One forward pass.
            size (tuple[int, ...]): Of its images, (height, width); of clips (frames, height,
                width). A tower of images has taken all frames as one batch.
        """
        tower = view_of(model).towers()[name]
        layout = layout_of(tower.backbone)
        num_frames = _num_frames(size, layout)
        if not self.layer_kinds:
            return {}
        grids = layout.layer_grids(size[1:] if num_frames else size)

        def read(source: FeatureSource, layer: int) -> Any:
            feature = recording.read(source, grids[layer])
            if isinstance(feature, Tensor):
                return feature
            patches, cls = feature
            tokens = TokenFeature(patches, cls, grids[layer])
            return tokens.join_frames(num_frames) if num_frames else tokens

        return self._read_layers(tower, name, read)

    def read_text(
        self, model: nn.Module, name: str, recording: Recording, gather: Callable[[Tensor], Tensor]
    ) -> LayerFeatures:
        """Layer features of a tower of text.

        Args:
            model (nn.Module): The recorded model.
            name (str): Of the tower.
            recording (Recording): One forward pass.
            gather (Callable): Picks N tokens (N, D) of the padded batch (B, T, D).
        """

        def read(source: FeatureSource, layer: int) -> Any:
            feature = recording.read(source, None)
            if isinstance(feature, Tensor):
                return feature
            tokens, _ = feature
            if tokens.dim() == 3:
                picked = gather(tokens)
            else:  # (B, K, T, D)
                picked = torch.stack([gather(direction) for direction in tokens.unbind(1)])
            return TokenFeature(picked[None], None, (1, picked.shape[-2]))

        return self._read_layers(view_of(model).towers()[name], name, read)

    def read_model(self, model: nn.Module, recording: Recording, size: tuple[int, ...]) -> Features:
        """Logits and embeddings; ``size`` as in :meth:`read_images`."""
        view = view_of(model)
        num_frames = _num_frames(size, view)
        tokens = self.tokens(model, recording)

        def read(source: FeatureSource) -> Tensor:
            feature = recording.read(source, tokens)
            return mean_over_frames(feature, num_frames) if num_frames else feature

        towers = view.towers() if self.embeddings else {}
        return Features(
            embeddings={name: read(_embeddings(towers[name])) for name in self.embeddings},
            frame_embeddings=read(view.frame_embeddings_source()) if self.reads_frames else None,
            logits=read(view.logits_source()) if self.reads_logits else None,
        )

    def _layer_sources(self, tower: Tower, name: str) -> dict[FeatureKind, list[FeatureSource]]:
        layout = layout_of(tower.backbone)
        found = {}
        for kind in self.layer_kinds:
            of_part = {part: _sources(layout, kind, part) for part in set(self.parts[name])}
            found[kind] = [
                of_part[part][layer].below(tower.path)
                for layer, part in zip(self.layers[name], self.parts[name], strict=True)
            ]
        return found

    def _read_layers(
        self, tower: Tower, name: str, read: Callable[[FeatureSource, int], Any]
    ) -> LayerFeatures:
        return {
            kind: [
                read(source, layer)
                for source, layer in zip(sources, self.layers[name], strict=True)
            ]
            for kind, sources in self._layer_sources(tower, name).items()
        }


def _sources(layout: TokenLayout, kind: FeatureKind, part: LayerPart) -> list[FeatureSource]:
    """Source of a kind of feature in each layer, or in one of its parts."""
    of_attention = (FeatureKind.ATTENTION_MAPS, FeatureKind.KEYS_QUERIES)
    if kind in of_attention and part is LayerPart.MLP:
        name = kind.value.replace('_', ' ')
        raise UserError(
            f'layer_map matches layers with MLPs, which have no {name}: choose a distiller that '
            'does not compare them, or match with layers or their attention alone.'
        )
    return getattr(layout, OF_PART.get((kind, part), kind.value))()


def _embeddings(tower: Tower) -> FeatureSource:
    assert tower.embeddings is not None  # a ModelMatch lists those that have them
    return tower.embeddings


def _num_frames(size: tuple[int, ...], model: Any) -> int:
    """Frames of clips that a model or layout takes one by one; else 0."""
    return 0 if len(size) == 2 or model.takes_clips else size[0]
