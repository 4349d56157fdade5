"""One tower of a student beside the teacher's: which layers meet, and what they compare."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.token_batch import TokenBatch
from transmamba_mm.models.towers import IMAGES, towers_of
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureReader, Features, LayerMatch
from transmamba_mm.transfer.features.token_matching import match_tokens, pick_patches, pick_tokens
from transmamba_mm.transfer.layer_map import LayerMap

Outputs = Mapping[str, Any]


class TowerMatch:
    """Reads the records of one tower from what both models did.

    Towers of images are compared patch by patch, on the student's grid. Towers of text are compared
    where both have read the same text, and at the image's patches in between, on the student's
    grid: all tokens of the batch stand in one row, (1, N, D).

    It keeps names only, no module: copies of the models are read by the same pair.

    Args:
        name (str): Of the tower, in both models.
        student, teacher (nn.Module): The models.
        layer_map (LayerMap): Which of its layers meet.
        first (int): Number of the tower's first layer among all layers of the student.

    Raises:
        UserError: A tower of text beside one of images; layers that do not fit the map.
    """

    def __init__(
        self, name: str, student: nn.Module, teacher: nn.Module, layer_map: LayerMap, first: int = 0
    ) -> None:
        self.name = name
        self.layer_map = layer_map
        towers = towers_of(student)[name], towers_of(teacher)[name]
        self.reads = towers[0].reads
        if towers[1].reads != self.reads:
            raise UserError(
                f'The {name} tower of the student reads {self.reads}, that of the teacher '
                f'{towers[1].reads}: they do not compare.'
            )
        layouts = [layout_of(tower.backbone) for tower in towers]
        self.depths = [layout.stage_depths() for layout in layouts]
        ours, theirs = (layout.layer_dims() for layout in layouts)
        count = layouts[0].num_directions
        self.layers = layer_map.pairs(*self.depths)
        self.pairs = [LayerMatch(first + i, j, ours[i], theirs[j], count) for i, j in self.layers]

    def describe(self) -> str:
        """One line for the log: every student layer and its teacher layer."""
        return self.layer_map.describe(*self.depths)

    def connect(self, student: nn.Module, teacher: nn.Module, distiller: Any) -> None:
        """Find the modules that the distiller wants to look at."""
        ours, theirs = zip(*self.layers, strict=True) if self.layers else ((), ())
        one_tower = not hasattr(student, 'towers')
        self.student = FeatureReader(
            student,
            ours,
            features=distiller.uses_layers,
            directions=distiller.uses_directions,
            logits=distiller.uses_logits and one_tower,
            tower=self.name,
        )
        self.teacher = FeatureReader(
            teacher,
            theirs,
            features=distiller.uses_features,
            logits=distiller.uses_logits and one_tower,
            tower=self.name,
        )

    def read(
        self,
        models: tuple[nn.Module, nn.Module],
        outputs: tuple[Outputs, Outputs],
        sizes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> tuple[Features, Features]:
        """Records of the student and the teacher, each given as (student's, teacher's).

        Args:
            models (tuple): The two models.
            outputs (tuple): What their modules returned, by path.
            sizes (tuple): Of the images that each saw, as in :meth:`FeatureReader.read`.
        """
        if self.reads == IMAGES:
            backbones = [towers_of(model)[self.name].backbone for model in models]
            return (
                self.student.read(outputs[0], backbones[0], sizes[0]),
                self.teacher.read(outputs[1], backbones[1], sizes[1]),
            )
        return self._read_text(models, outputs, sizes)

    def _read_text(self, models: Any, outputs: Any, sizes: Any) -> Any:
        sequences = [out[model.embedder_path] for out, model in zip(outputs, models, strict=True)]
        match = match_tokens(*sequences)
        grids = None
        if all(part.image.shape[1] for part in sequences):
            grids = [_patch_grid(model, size) for model, size in zip(models, sizes, strict=True)]

        def gather(tokens: Tensor, places: Tensor, own: TokenBatch, grid: Any) -> Tensor:
            picked = pick_tokens(tokens, match.rows, places)
            if grids is None:
                return picked
            patches = to_grid(pick_patches(tokens, own.image), grid, grids[0])
            return torch.cat([picked, patches.flatten(0, 1)])

        def read(reader: FeatureReader, out: Outputs, places: Tensor, side: int) -> Features:
            record = Features()
            grid = None if grids is None else grids[side]
            for path in reader.layer_paths:
                tokens = gather(_tensor(out[path]), places, sequences[side], grid)
                record.patches.append(tokens[None])
                record.cls.append(None)
                record.grids.append((1, len(tokens)))
            for path in reader.direction_paths:
                taps = out[path].unbind(1)  # K of (B, T, D)
                lanes = [gather(tap, places, sequences[side], grid) for tap in taps]
                record.directions.append(torch.stack(lanes)[None])
                if not reader.layer_paths:
                    record.grids.append((1, len(lanes[0])))
            return record

        return (
            read(self.student, outputs[0], match.student, 0),
            read(self.teacher, outputs[1], match.teacher, 1),
        )


def _patch_grid(model: nn.Module, size: tuple[int, ...]) -> tuple[int, ...]:
    """Grid of the patches that a model puts into its sequences."""
    return layout_of(towers_of(model)['vision'].backbone).layer_grids(size)[-1]


def _tensor(output: Any) -> Tensor:
    """Hidden states of a layer, which older layers of transformers return in a tuple."""
    return output[0] if isinstance(output, tuple) else output
