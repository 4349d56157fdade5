"""The two sides of subcloning: one tower of the teacher, one of the student."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from transmamba_mm.models.layouts import TokenLayout, layout_of
from transmamba_mm.models.layouts.base import Grid
from transmamba_mm.models.towers import towers_of


@dataclass(frozen=True)
class TeacherWeights:
    """Weights of one tower by canonical names (see ``TokenLayout``).

    Attributes:
        tensors (dict[str, Tensor]): The weights, those of the heads behind the tower included.
        stages (list[int]): Layers of each stage.
        grid (tuple[int, int] | None): Patch grid (H, W) of the positions, where it is not square.
    """

    tensors: dict[str, Tensor]
    stages: list[int]
    grid: Grid | None = None

    @classmethod
    def of(
        cls, model: nn.Module, tower: str, state: Mapping[str, Tensor] | None = None
    ) -> 'TeacherWeights':
        """Of a tower of ``model``.

        Args:
            model (nn.Module): A teacher.
            tower (str): Name of the tower.
            state (Mapping[str, Tensor], optional): Other weights of the same model.

        Raises:
            UserError: A family without canonical weights.
        """
        part = towers_of(model)[tower]
        layout = layout_of(part.backbone)
        state = model.state_dict() if state is None else state
        tensors = layout.canonical_weights(_below(state, part.path))
        for name, path in part.heads.items():
            tensors |= {f'{name}.{key}': value for key, value in _below(state, path).items()}
        return cls(tensors, layout.stage_depths(), layout.position_grid)


@dataclass(frozen=True)
class StudentWeights:
    """Parameters of one tower by the names that rules use: relative to it, its head as ``head``.

    Attributes:
        layout (TokenLayout): Of its backbone.
        parameters (dict[str, nn.Parameter]): The parameters.
        names (dict[str, str]): What each is called in the whole student.
    """

    layout: TokenLayout
    parameters: dict[str, nn.Parameter]
    names: dict[str, str]

    @classmethod
    def of(cls, model: nn.Module, tower: str) -> 'StudentWeights':
        """Of a tower of ``model``, in the model's order."""
        part = towers_of(model)[tower]
        names = {}
        for name, path in {'': part.path, **part.heads}.items():
            for key, _ in model.get_submodule(path).named_parameters():
                names[f'{name}.{key}' if name else key] = f'{path}.{key}'
        parameters = {key: model.get_parameter(name) for key, name in names.items()}
        return cls(layout_of(part.backbone), parameters, names)


def _below(state: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """The part of a state dict that belongs to a module."""
    prefix = f'{path}.'
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
