"""Record both models of a transfer and read the features that a distiller compares."""

from collections.abc import Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.token_batch import TokenBatch
from transmamba_mm.models.towers import IMAGES, towers_of, view_of
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch
from transmamba_mm.transfer.features.model_reader import LayerFeatures, ModelReader
from transmamba_mm.transfer.features.recorder import Recording
from transmamba_mm.transfer.features.token_matching import match_tokens, pick_patches, pick_tokens

#: A module of the student, and the matching one of the teacher.
Models = tuple[nn.Module, nn.Module]
Recordings = tuple[Recording, Recording]
Sizes = tuple[tuple[int, ...], tuple[int, ...]]


class FeatureReader:
    """Features of a student and of its teacher, token beside token.

    Towers of images are compared patch by patch. Towers of text are compared where both have read
    the same text, and at the image's patches in between, on the student's grid: all tokens of the
    batch stand in one row, (1, N, D).

    Args:
        student, teacher (nn.Module): The models.
        match (ModelMatch): What is compared.
        student_kinds, teacher_kinds (Collection[FeatureKind]): Kinds of features to read of each.

    Attributes:
        student, teacher (ModelReader): The readers, each with its recorder.

    Raises:
        UserError: A kind that a model does not have; numbers of classes that differ.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        match: ModelMatch,
        student_kinds: Collection[FeatureKind],
        teacher_kinds: Collection[FeatureKind],
    ) -> None:
        self.match = match
        pairs = {tower.name: tower.pairs for tower in match.towers}
        ours = {name: [pair.student for pair in found] for name, found in pairs.items()}
        theirs = {name: [pair.teacher for pair in found] for name, found in pairs.items()}
        parts = {name: [pair.part for pair in found] for name, found in pairs.items()}
        embeddings = [embedding.tower for embedding in match.embeddings]
        self.student = ModelReader(student, ours, student_kinds, embeddings)
        self.teacher = ModelReader(teacher, theirs, teacher_kinds, embeddings, parts)
        if FeatureKind.LOGITS in student_kinds:
            _check_classes(student, teacher)

    def check_sizes(
        self, student: nn.Module, teacher: nn.Module, teacher_size: tuple[int, ...] | None
    ) -> None:
        """UserError for images that patches do not cover, where the student has an ``img_size``.

        Args:
            student, teacher (nn.Module): The models.
            teacher_size (tuple[int, ...], optional): (height, width) of the teacher's images; by
                default the student's.
        """
        if not (self.student.layer_kinds or self.teacher.layer_kinds):
            return
        for tower in self.match.towers:
            ours, theirs = (towers_of(m)[tower.name].backbone for m in (student, teacher))
            size = getattr(ours, 'img_size', None)
            if tower.reads == IMAGES and size is not None:
                layout_of(ours).layer_grids(size)
                layout_of(theirs).layer_grids(teacher_size or size)

    def read(
        self, models: Models, recordings: Recordings, sizes: Sizes
    ) -> tuple[Features, Features]:
        """Features of the student and of the teacher; arguments are (student's, teacher's).

        Args:
            models (tuple): The models, or copies of them.
            recordings (tuple): One forward pass of each.
            sizes (tuple): Of their images, as in :meth:`ModelReader.read_images`.
        """
        readers = self.student, self.teacher
        student, teacher = (
            reader.read_model(model, recording, size)
            for reader, model, recording, size in zip(
                readers, models, recordings, sizes, strict=True
            )
        )
        ours, theirs = student.logits, teacher.logits
        if ours is not None and theirs is not None and view_of(models[0]).vocabulary is not None:
            # Equal tokenizers, but language models may have more logits than tokens.
            words = min(ours.shape[-1], theirs.shape[-1])
            student.logits, teacher.logits = ours[:, :words], theirs[:, :words]
        for tower in self.match.towers:
            if not tower.layers:
                continue
            read = self._read_images if tower.reads == IMAGES else self._read_text
            for features, found in zip(
                (student, teacher), read(tower.name, models, recordings, sizes), strict=True
            ):
                for kind, values in found.items():
                    features.of_layers(kind).extend(values)
        return student, teacher

    def _read_images(
        self, name: str, models: Models, recordings: Recordings, sizes: Sizes
    ) -> list[LayerFeatures]:
        return [
            reader.read_images(model, name, recording, size)
            for reader, model, recording, size in zip(
                (self.student, self.teacher), models, recordings, sizes, strict=True
            )
        ]

    def _read_text(
        self, name: str, models: Models, recordings: Recordings, sizes: Sizes
    ) -> list[LayerFeatures]:
        readers = self.student, self.teacher
        if not any(reader.layer_kinds for reader in readers):
            return [{}, {}]
        batches: list[Any] = [
            reader.tokens(model, recording)
            for reader, model, recording in zip(readers, models, recordings, strict=True)
        ]
        match = match_tokens(*batches)
        grids: list[Any] = [None, None]
        if all(batch.image.shape[1] for batch in batches):
            grids = [_patch_grid(model, size) for model, size in zip(models, sizes, strict=True)]
        gathers = [
            partial(_gather, rows=match.rows, places=places, batch=batch, grid=grid, to=grids[0])
            for places, batch, grid in zip(
                (match.student, match.teacher), batches, grids, strict=True
            )
        ]
        return [
            reader.read_text(model, name, recording, gather)
            for reader, model, recording, gather in zip(
                readers, models, recordings, gathers, strict=True
            )
        ]


def _gather(
    tokens: Tensor, rows: Tensor, places: Tensor, batch: TokenBatch, grid: Any, to: Any
) -> Tensor:
    """Matched tokens, then the image's patches on the grid ``to``: (N, D) of (B, T, D)."""
    picked = pick_tokens(tokens, rows, places)
    if grid is None:
        return picked
    patches = to_grid(pick_patches(tokens, batch.image), grid, to)
    return torch.cat([picked, patches.flatten(0, 1)])


def _patch_grid(model: nn.Module, size: tuple[int, ...]) -> tuple[int, ...]:
    """Grid of the patches that a model puts into its sequences."""
    return layout_of(towers_of(model)['vision'].backbone).layer_grids(size)[-1]


def _check_classes(student: nn.Module, teacher: nn.Module) -> None:
    ours, theirs = view_of(student).num_classes, view_of(teacher).num_classes
    if ours is not None and theirs is not None and ours != theirs:
        raise UserError(
            f'The student has {ours} classes and the teacher {theirs}: their logits cannot be '
            'compared. Use a teacher of the same classes, or a distiller without a logits term '
            '(logits_weight=0).'
        )
