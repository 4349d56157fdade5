"""Match a student with its teacher: towers, layers, embeddings, logits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import LayerPart, layout_of
from transmamba_mm.models.towers import Tower, towers_of, view_of
from transmamba_mm.transfer.features.features import FeatureKind
from transmamba_mm.transfer.layer_map import LayerMap, LayerPair, is_by_tower


@dataclass(frozen=True)
class LayerMatch:
    """A student layer and its teacher layer.

    Attributes:
        student, teacher (int): Layer indices, counted from 0 at the input; of the student through
            all its towers.
        student_dims, teacher_dims (int): Widths of the two features.
        num_directions (int): Scan directions K of the student layer.
        part (LayerPart): What of the teacher layer: all of it, its attention or its MLP.
        student_key_dims, teacher_key_dims (int): Widths of their keys, or of B; 0 if a family does
            not name them.
    """

    student: int
    teacher: int
    student_dims: int
    teacher_dims: int
    num_directions: int = 0
    part: LayerPart = LayerPart.WHOLE
    student_key_dims: int = 0
    teacher_key_dims: int = 0


@dataclass(frozen=True)
class EmbeddingMatch:
    """The final embeddings of one tower.

    Attributes:
        tower (str): Its name, the key in ``Features.embeddings``.
        student_dims, teacher_dims (int): Widths of the two embeddings.
    """

    tower: str
    student_dims: int
    teacher_dims: int


@dataclass(frozen=True)
class TowerMatch:
    """A tower of the student and the teacher's of the same name.

    Attributes:
        name (str): Of the tower, in both models.
        reads (str): ``'images'`` or ``'text'``.
        pairs (list[LayerPair]): Layers inside the tower, of the student and the teacher.
        layers (list[LayerMatch]): The same, with their widths.
        description (str): One line for the log: every student layer and its teacher layer.
    """

    name: str
    reads: str
    pairs: list[LayerPair]
    layers: list[LayerMatch]
    description: str

    @classmethod
    def of(
        cls, name: str, student: Tower, teacher: Tower, layer_map: LayerMap, first: int
    ) -> 'TowerMatch':
        """Match two towers.

        Args:
            name (str): Of both.
            student, teacher (Tower): The towers.
            layer_map (LayerMap): Which of their layers are compared.
            first (int): Number of the tower's first layer among all layers of the student.

        Raises:
            UserError: A tower of text and one of images; layers that do not fit the map.
        """
        if student.reads != teacher.reads:
            raise UserError(
                f'The {name} tower of the student reads {student.reads}, that of the teacher '
                f'{teacher.reads}: they cannot be compared.'
            )
        layouts = layout_of(student.backbone), layout_of(teacher.backbone)
        depths = [layout.stage_depths() for layout in layouts]
        dims = [layout.layer_dims() for layout in layouts]
        key_dims = [layout.key_dims() for layout in layouts]
        pairs = layer_map.pairs(*depths)
        count = layouts[0].num_directions
        layers = [
            LayerMatch(
                first + i, j, dims[0][i], dims[1][j], count, part, key_dims[0][i], key_dims[1][j]
            )
            for i, j, part in pairs
        ]
        return cls(name, student.reads, pairs, layers, layer_map.describe(*depths))


@dataclass(frozen=True)
class ModelMatch:
    """Description of the two models for building a distiller. It holds no module.

    Attributes:
        towers (Sequence[TowerMatch]): The compared towers.
        layers (Sequence[LayerMatch]): The layers of all of them; entry i of each list of layer
            features in ``Features`` belongs to entry i.
        embeddings (Sequence[EmbeddingMatch]): Those of the towers that have final embeddings.
        unavailable (Mapping[FeatureKind, str]): Kinds that these two models cannot compare, and
            why.
        num_classes (int | None): Of the student, if it is a classifier.
    """

    towers: Sequence[TowerMatch] = ()
    layers: Sequence[LayerMatch] = ()
    embeddings: Sequence[EmbeddingMatch] = ()
    unavailable: Mapping[FeatureKind, str] = field(default_factory=dict)
    num_classes: int | None = None

    @classmethod
    def of(cls, student: nn.Module, teacher: nn.Module, layer_map: Any) -> 'ModelMatch':
        """Match two models.

        Args:
            student, teacher (nn.Module): The models.
            layer_map (str | dict | list): See :class:`LayerMap`; for towers that both models have,
                or for those that a dict names, with a layer map each.

        Raises:
            UserError: Towers or layers that one of the models does not have.
        """
        ours, theirs = towers_of(student), towers_of(teacher)
        towers: list[TowerMatch] = []
        first = 0
        for name, config in _maps(layer_map, list(ours), list(theirs)).items():
            chosen = LayerMap.from_config(config)
            towers.append(TowerMatch.of(name, ours[name], theirs[name], chosen, first))
            first += len(layout_of(ours[name].backbone).layer_paths())
        layers = [layer for tower in towers for layer in tower.layers]
        embeddings = [
            EmbeddingMatch(name, ours[name].embedding_dims, theirs[name].embedding_dims)
            for name in (tower.name for tower in towers)
            if ours[name].embeddings and theirs[name].embeddings
        ]
        unavailable: dict[FeatureKind, str] = {}
        if not embeddings:
            unavailable[FeatureKind.EMBEDDINGS] = 'no tower has final embeddings in both models'
        if reason := _different_vocabularies(student, teacher):
            unavailable |= {FeatureKind.LOGITS: reason, FeatureKind.EMBEDDINGS: reason}
        num_classes = view_of(student).num_classes
        if num_classes is None:
            unavailable[FeatureKind.LABELS] = 'the student is not a classifier'
        return cls(towers, layers, embeddings, unavailable, num_classes)

    def require_layers(self, owner: str) -> None:
        """UserError of ``owner``, which compares features of layers, if none are matched."""
        if not self.layers:
            raise UserError(
                f'{owner} compares features, but layer_map matches no student layer with a teacher '
                'layer: change layer_map, or compare logits alone (LogitsDistiller).'
            )

    def of_layers(self, chosen: Collection[int]) -> 'ModelMatch':
        """The same match with some of its layers; ``chosen`` are indices of ``layers``."""
        towers, first = [], 0
        for tower in self.towers:
            kept = [i for i in range(len(tower.layers)) if first + i in chosen]
            first += len(tower.layers)
            pairs = [tower.pairs[i] for i in kept]
            towers.append(replace(tower, pairs=pairs, layers=[tower.layers[i] for i in kept]))
        return replace(self, towers=towers, layers=[self.layers[i] for i in sorted(chosen)])


def _maps(layer_map: Any, student: list[str], teacher: list[str]) -> dict[str, Any]:
    """The layer map of each compared tower."""
    shared = [name for name in student if name in teacher]
    if not shared:
        raise UserError(
            f'Student (towers: {", ".join(student)}) and teacher (towers: {", ".join(teacher)}) '
            'share no tower to transfer.'
        )
    if is_by_tower(layer_map):
        if unknown := sorted(set(layer_map) - set(shared)):
            raise UserError(
                f'layer_map names {", ".join(unknown)}, but the towers that student and '
                f'teacher share are {", ".join(shared)}.'
            )
        if not layer_map:
            raise UserError(f'layer_map is empty: name towers of {", ".join(shared)}.')
        return {name: layer_map[name] for name in shared if name in layer_map}
    return dict.fromkeys(shared, layer_map)


def _different_vocabularies(student: nn.Module, teacher: nn.Module) -> str | None:
    """The difference of the vocabularies; None if they are equal."""
    ours, theirs = view_of(student).vocabulary, view_of(teacher).vocabulary
    if ours == theirs:
        return None
    shared = len(set(ours or ()) & set(theirs or ()))
    return (
        f'student and teacher have different vocabularies ({len(ours or ())} and '
        f'{len(theirs or ())} tokens, {shared} in common)'
    )
