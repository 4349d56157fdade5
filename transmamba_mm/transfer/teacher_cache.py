"""Read a teacher's outputs from disk, so that training needs no teacher in memory."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.sparse_labels import SparseLabels, to_logits

#: Relative difference of two fingerprints of one image, which other machines may round otherwise.
TOLERANCE = 1e-3
MAKE = 'make it with tools/cache_teacher.py'


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
