"""What is kept of one forward pass, in the order in which two models compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import towers_of
from transmamba_mm.transfer.features.frames import mean_over_frames


@dataclass(frozen=True)
class LayerMatch:
    """A student layer and the teacher layer it looks at.

    Attributes:
        student, teacher (int): Layer indices, counted from 0 at the input.
        student_dims, teacher_dims (int): Widths of the two features.
        num_directions (int): Scan directions K of the student layer.
    """

    student: int
    teacher: int
    student_dims: int
    teacher_dims: int
    num_directions: int = 0


@dataclass
class Features:
    """Features of one model, all in canonical order; entry i of a list belongs to layer pair i.

    What the distiller did not ask for stays empty.

    Attributes:
        patches (list[Tensor]): Patch tokens (B, L, D) of each layer.
        cls (list[Tensor | None]): Its cls token (B, D), where the model has one.
        grids (list[tuple[int, ...]]): Its patch grid (H, W), L = H * W; (T, H, W) of a clip.
        directions (list[Tensor]): What each scan direction contributes, (B, K, L, D).
        logits (Tensor | None): (B, classes).
    """

    patches: list[Tensor] = field(default_factory=list)
    cls: list[Tensor | None] = field(default_factory=list)
    grids: list[tuple[int, ...]] = field(default_factory=list)
    directions: list[Tensor] = field(default_factory=list)
    logits: Tensor | None = None

    @classmethod
    def joined(cls, records: Sequence['Features']) -> 'Features':
        """The record of a model from those of its towers; logits are the first's."""
        return cls(
            patches=[part for record in records for part in record.patches],
            cls=[part for record in records for part in record.cls],
            grids=[grid for record in records for grid in record.grids],
            directions=[part for record in records for part in record.directions],
            logits=records[0].logits,
        )


def join_frames(record: Features, num_frames: int) -> Features:
    """The record of B clips, from the record of their B * T frames as images.

    The patches of all frames stand one after another, (B, T * L, D) on a grid (T, H, W), in each
    direction too; cls tokens and logits are averaged.
    """
    logits = record.logits
    return replace(
        record,
        patches=[p.unflatten(0, (-1, num_frames)).flatten(1, 2) for p in record.patches],
        cls=[None if cls is None else mean_over_frames(cls, num_frames) for cls in record.cls],
        grids=[(num_frames, *grid) for grid in record.grids],
        directions=[  # of (B * T, K, L, D)
            d.unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2, 3)
            for d in record.directions
        ],
        logits=None if logits is None else mean_over_frames(logits, num_frames),
    )


class FeatureReader:
    """Knows which modules of one model make up its record, and how to read their outputs.

    It keeps names only, no module: a copy of the model is read by the same reader.

    Args:
        model (nn.Module): Has ``towers`` or a ``backbone`` and, for logits, a ``head`` that returns
            them.
        layers (Sequence[int]): Backbone layers, one per pair; may repeat.
        features (bool): Read the layers' features.
        directions (bool): Read what each scan direction contributes.
        logits (bool): Read the output of ``head``.
        tower (str): Which of the model's towers.

    Raises:
        UserError: A layer the backbone does not have, or no head to read logits from.
    """

    def __init__(
        self,
        model: Any,
        layers: Sequence[int],
        features: bool = True,
        directions: bool = False,
        logits: bool = False,
        tower: str = 'backbone',
    ) -> None:
        self.root = towers_of(model)[tower].path
        layout = layout_of(towers_of(model)[tower].backbone)
        self.layers = list(layers)
        self.layer_paths = self._pick(layout.layer_paths(), features)
        self.direction_paths = self._pick(layout.direction_paths(), directions)
        self.logits_path = 'head' if logits else None
        if logits and getattr(model, 'head', None) is None:
            raise UserError(
                f'{type(model).__name__} has no head, so there are no logits to compare: give it '
                'one, or choose a distiller without a logits term.'
            )

    def _pick(self, paths: list[str], wanted: bool) -> list[str]:
        return [f'{self.root}.{paths[layer]}' for layer in self.layers] if wanted else []

    @property
    def paths(self) -> list[str]:
        """Every module to record, once."""
        paths = self.layer_paths + self.direction_paths
        if self.logits_path:
            paths = [*paths, self.logits_path]
        return list(dict.fromkeys(paths))

    def read(
        self, outputs: Mapping[str, Any], backbone: Any, image_size: tuple[int, ...]
    ) -> Features:
        """Turn what the modules at :attr:`paths` returned into a record.

        Args:
            outputs (Mapping): The last output of each path, such as a ``FeatureRecorder``.
            backbone (nn.Module): The backbone that made them.
            image_size (tuple[int, ...]): Of the images it saw, (height, width); of clips (frames,
                height, width). If the backbone was made for images, the outputs are those of all
                frames as one batch.
        """
        if len(image_size) == 3 and not layout_of(backbone).takes_clips:
            record = self.read(outputs, backbone, image_size[1:])
            return join_frames(record, image_size[0])
        layout = layout_of(backbone)
        grids = []
        if self.layer_paths or self.direction_paths:
            all_grids = layout.layer_grids(image_size)
            grids = [all_grids[layer] for layer in self.layers]
        record = Features(grids=grids)
        for path, grid in zip(self.layer_paths, grids, strict=False):
            patches, cls = layout.to_canonical(outputs[path], grid)
            record.patches.append(patches)
            record.cls.append(cls)
        for path, grid in zip(self.direction_paths, grids, strict=False):
            tap = outputs[path]  # (B, K, tokens, D)
            patches, _ = layout.to_canonical(tap.flatten(0, 1), grid)
            record.directions.append(patches.unflatten(0, tap.shape[:2]))
        if self.logits_path:
            record.logits = outputs[self.logits_path]
        return record
