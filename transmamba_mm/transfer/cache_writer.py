"""Write a teacher's outputs to disk."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.cache_contents import (
    CONTENTS,
    CacheContents,
    feature_name,
    fingerprints,
)
from transmamba_mm.transfer.features.features import (
    MODEL_KINDS,
    FeatureKind,
    Features,
    TokenFeature,
)
from transmamba_mm.transfer.features.model_match import LayerMatch
from transmamba_mm.transfer.sparse_labels import sparsify


class CacheWriter:
    """Writes a cache, batch by batch.

    Args:
        folder (str | Path): Where to; it may not hold a cache already.
        contents (CacheContents): What it will hold; ``grids`` are filled in.

    Raises:
        UserError: There is a cache already.
    """

    def __init__(self, folder: str | Path, contents: CacheContents) -> None:
        self.folder, self.contents = Path(folder), contents
        if (self.folder / CONTENTS).exists():
            raise UserError(f'{folder} holds a cache already: remove it, or name another folder.')
        self.folder.mkdir(parents=True, exist_ok=True)
        self._arrays: dict[str, np.memmap] = {}

    def write(
        self, rows: np.ndarray, images: Tensor, features: Features, layers: Sequence[LayerMatch]
    ) -> None:
        """Write the features of the images with these row numbers (sample * views + view)."""
        self._write('fingerprints', rows, fingerprints(images), np.float32)
        for name, feature in _named_tokens(features, layers):
            self.contents.grids[name] = list(feature.grid)
            self._write(name, rows, feature.patches, np.float16)
            if feature.cls is not None:
                self._write(f'{name}.cls', rows, feature.cls, np.float16)
        for embedding in features.embeddings.values():
            self._write('embeddings', rows, embedding, np.float32)
        if features.logits is not None:
            self._write_logits(rows, features.logits)

    def close(self) -> None:
        """Finish: from now on it can be read."""
        for array in self._arrays.values():
            array.flush()
        text = json.dumps(asdict(self.contents), indent=1)
        (self.folder / CONTENTS).write_text(text + '\n')

    def _write_logits(self, rows: np.ndarray, logits: Tensor) -> None:
        contents = self.contents
        if contents.temperature is None or contents.top_k is None:
            self._write('logits', rows, logits, np.float32)
            return
        labels = sparsify(logits, contents.temperature, contents.top_k, contents.num_drawn)
        self._write('classes', rows, labels.classes, np.int32)
        self._write('probabilities', rows, labels.probabilities, np.float32)

    def _write(self, name: str, rows: np.ndarray, values: Tensor, dtype: type) -> None:
        if name not in self._arrays:
            shape = (self.contents.num_samples * self.contents.views, *values.shape[1:])
            file = str(self.folder / f'{name}.npy')
            self._arrays[name] = np.lib.format.open_memmap(file, 'w+', dtype, shape)
        self._arrays[name][rows] = values.detach().cpu().numpy()


def _named_tokens(
    features: Features, layers: Sequence[LayerMatch]
) -> Iterator[tuple[str, TokenFeature]]:
    """Every feature of a layer once, though several student layers may be matched with it."""
    for kind in FeatureKind:
        if kind not in MODEL_KINDS and features.of_layers(kind):
            pairs = zip(layers, features.of_layers(kind), strict=True)
            yield from {feature_name(kind, layer): feature for layer, feature in pairs}.items()
