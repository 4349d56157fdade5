"""A teacher's outputs on disk, so that training needs no teacher in memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import (
    MODEL_KINDS,
    FeatureKind,
    Features,
    TokenFeature,
)
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.sparse_labels import SparseLabels, sparsify, to_logits

CONTENTS = 'contents.json'
#: Relative difference of two fingerprints of one image, which other machines may round otherwise.
TOLERANCE = 1e-3
MAKE = 'make it with tools/cache_teacher.py'


@dataclass(frozen=True)
class CacheContents:
    """Contents of a cache; written last.

    Attributes:
        teacher (dict): ``source``, ``mean``, ``std`` and ``img_size`` of the teacher.
        num_samples (int): Samples of the data set.
        views (int): Views of each; see ``SeededViews``.
        num_classes (int): Of the logits.
        kinds (list[str]): Kinds of features.
        top_k (int | None): Classes kept exactly; None: all.
        num_drawn (int): Classes drawn from the others.
        temperature (float | None): Of the kept distribution; None: any.
        grids (dict): Patch grid of each feature of a layer, by name.
    """

    teacher: dict[str, Any]
    num_samples: int
    views: int
    num_classes: int
    kinds: list[str]
    top_k: int | None = None
    num_drawn: int = 0
    temperature: float | None = None
    grids: dict[str, list[int]] = field(default_factory=dict)


class TeacherCache:
    """The outputs of a teacher for all samples of a data set, read by their numbers.

    Each image of a batch is compared with the one that was cached by a number that is computed
    from its pixels, so other data, another augmentation or mixing is an error.

    Args:
        folder (str | Path): What ``tools/cache_teacher.py`` wrote.

    Raises:
        UserError: No complete cache.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        file = self.folder / CONTENTS
        if not file.is_file():
            raise UserError(f'teacher.cache={folder} holds no complete cache: {MAKE}.')
        self.contents = CacheContents(**json.loads(file.read_text()))
        self._arrays: dict[str, np.ndarray] = {}

    def check(self, distiller: Any, match: ModelMatch, teacher: Mapping[str, Any]) -> None:
        """Check that it has the features of a distiller.

        Args:
            distiller (BaseDistiller): With its kinds and, for soft labels, a ``temperature``.
            match (ModelMatch): Of the student with the teacher.
            teacher (Mapping): As in :class:`CacheContents`.

        Raises:
            UserError: Something is missing, or was made otherwise.
        """
        name, contents = f'teacher.cache={self.folder}', self.contents
        for key, value in teacher.items():
            cached = contents.teacher[key]
            if value != cached:
                raise UserError(
                    f'{name} was made with teacher.{key}={cached!r}, not {value!r}: set that, or '
                    f'{MAKE} again.'
                )
        if distiller.runs_mixers:
            raise UserError(
                f'{name}: {type(distiller).__name__} runs on inputs of the teacher, which no cache '
                'holds: remove teacher.cache or its stage.'
            )
        kinds = {kind.value for kind in distiller.teacher_kinds}
        if missing := sorted(kinds - {*contents.kinds}):
            raise UserError(
                f'{name} has no {", ".join(missing)}, which {type(distiller).__name__} compares: '
                f'{MAKE}, for this method, with --features.'
            )
        for kind in distiller.teacher_kinds - MODEL_KINDS:
            for index in distiller.feature_layers:
                if (key := feature_name(kind, match.layers[index])) not in contents.grids:
                    raise UserError(f'{name} has no {key}: {MAKE} for this layer_map.')
        wanted = getattr(distiller, 'temperature', None)
        if FeatureKind.LOGITS in distiller.teacher_kinds and contents.temperature not in (
            None,
            wanted,
        ):
            raise UserError(
                f'{name} has soft labels of temperature {contents.temperature}, but '
                f'{type(distiller).__name__} compares at {wanted}: {MAKE} again, or all logits '
                '(without --top-k).'
            )

    def read(
        self,
        images: Tensor,
        data_samples: Sequence[Any],
        kinds: frozenset[FeatureKind],
        layers: Sequence[LayerMatch],
    ) -> Features:
        """The teacher's features of a batch.

        Args:
            images (Tensor): As the student's ``data_preprocessor`` made them, to check them.
            data_samples (Sequence): With ``sample_idx``, and ``view`` if there are several.
            kinds (frozenset[FeatureKind]): What to read.
            layers (Sequence[LayerMatch]): For features of layers.

        Raises:
            UserError: Samples or images other than those that were cached.
        """
        rows = self._rows(data_samples)
        self._check_images(images, rows)
        device, features = images.device, Features()
        for kind in kinds - MODEL_KINDS:
            features.of_layers(kind).extend(
                self._read_tokens(feature_name(kind, layer), rows, device) for layer in layers
            )
        if FeatureKind.EMBEDDINGS in kinds:
            features.embeddings = {'backbone': self._read('embeddings', rows, device)}
        if FeatureKind.LOGITS in kinds:
            features.logits = self._read_logits(rows, device)
        return features

    def _rows(self, data_samples: Sequence[Any]) -> np.ndarray:
        num_samples, views, rows = self.contents.num_samples, self.contents.views, []
        for sample in data_samples:
            index, view = sample.get('sample_idx'), sample.get('view', 0 if views == 1 else None)
            if index is None or view is None or not (index < num_samples and view < views):
                raise UserError(
                    f'teacher.cache={self.folder} holds {num_samples} samples with {views} views, '
                    f'but the batch has sample_idx={index}, view={view}: train on the '
                    'cached data set (SeededViews for several views).'
                )
            rows.append(index * views + view)
        return np.array(rows)

    def _check_images(self, images: Tensor, rows: np.ndarray) -> None:
        cached = self._read('fingerprints', rows, images.device)
        found = fingerprints(images)
        differs = (found - cached).abs() > TOLERANCE * (1 + cached.abs())
        if differs.any():
            first = rows[int(differs.nonzero()[0])]
            index, view = divmod(int(first), self.contents.views)
            raise UserError(
                f'Sample {index}, view {view} differs from the image in teacher.cache='
                f'{self.folder}: train on the cached data set, without mixing and '
                f'without other random views than those of SeededViews, or {MAKE} again.'
            )

    def _read_logits(self, rows: np.ndarray, device: torch.device) -> Tensor:
        contents = self.contents
        if contents.temperature is None:
            return self._read('logits', rows, device)
        labels = SparseLabels(
            *(self._read(name, rows, device) for name in ('classes', 'probabilities'))
        )
        return to_logits(labels, contents.temperature, contents.num_classes)

    def _read_tokens(self, name: str, rows: np.ndarray, device: torch.device) -> TokenFeature:
        has_cls = (self.folder / f'{name}.cls.npy').is_file()
        cls = self._read(f'{name}.cls', rows, device) if has_cls else None
        grid = tuple(self.contents.grids[name])
        return TokenFeature(self._read(name, rows, device), cls, grid)

    def _read(self, name: str, rows: np.ndarray, device: torch.device) -> Tensor:
        if name not in self._arrays:
            self._arrays[name] = np.load(self.folder / f'{name}.npy', mmap_mode='r')
        values = torch.from_numpy(self._arrays[name][rows])
        return values.to(device, torch.float32 if values.is_floating_point() else None)


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


def feature_name(kind: FeatureKind, layer: LayerMatch) -> str:
    """Name of a feature of a teacher layer, or of a part of one."""
    return f'{kind.value}.{layer.teacher}.{layer.part.value}'


def fingerprints(images: Tensor) -> Tensor:
    """A number (B,) for each of the images (B, ...), other than those of mirrored or moved ones."""
    pixels = images.flatten(1).double()
    places = torch.arange(pixels.shape[1], device=pixels.device, dtype=torch.float64)
    return ((pixels * torch.cos(places)).sum(1) / pixels.shape[1] ** 0.5).float()


def _named_tokens(
    features: Features, layers: Sequence[LayerMatch]
) -> Iterator[tuple[str, TokenFeature]]:
    """Every feature of a layer once, though several student layers may be matched with it."""
    for kind in FeatureKind:
        if kind not in MODEL_KINDS and features.of_layers(kind):
            pairs = zip(layers, features.of_layers(kind), strict=True)
            yield from {feature_name(kind, layer): feature for layer, feature in pairs}.items()
