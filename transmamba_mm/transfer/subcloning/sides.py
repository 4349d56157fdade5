"""The two sides of subcloning: one tower of the teacher, one of the student."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        activation (str | None): Of its MLPs, see ``TokenLayout.mlp_activation``.
    """

    tensors: dict[str, Tensor]
    stages: list[int]
    grid: Grid | None = None
    activation: str | None = None

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
        return cls(tensors, layout.stage_depths(), layout.position_grid, layout.mlp_activation)


@dataclass(frozen=True)
class StudentWeights:
    """Parameters of one tower by the names that rules use (``TokenLayout.rule_weights``).

    Attributes:
        layout (TokenLayout): Of its backbone.
        parameters (dict[str, Tensor]): The parameters, or views of them; a head's as ``head``.
        names (dict[str, str]): Name of each in the whole student.
        layers (list[str]): Path of each layer in the names of ``parameters``.
        backbone (nn.Module): Its backbone.
    """

    layout: TokenLayout
    parameters: dict[str, Tensor]
    names: dict[str, str]
    layers: list[str]
    backbone: nn.Module

    def mixer(self, layer: str) -> Any:
        """The mixer of the layer at a path."""
        index = self.layers.index(layer)
        return self.backbone.get_submodule(self.layout.mixer_paths()[index])

    @classmethod
    def of(cls, model: nn.Module, tower: str) -> 'StudentWeights':
        """Of a tower of ``model``, in the model's order."""
        part = towers_of(model)[tower]
        layout = layout_of(part.backbone)
        own = dict(part.backbone.named_parameters())
        paths = {id(parameter): f'{part.path}.{key}' for key, parameter in own.items()}
        named = layout.rule_weights(own)
        parameters = {key: value for key, value in named.items() if id(_owner(value)) in paths}
        names = {key: paths[id(_owner(value))] for key, value in parameters.items()}
        for name, path in part.heads.items():
            for key, parameter in model.get_submodule(path).named_parameters():
                parameters[f'{name}.{key}'] = parameter
                names[f'{name}.{key}'] = f'{path}.{key}'
        return cls(layout, parameters, names, layout.rule_layers(), part.backbone)


def _owner(value: Tensor) -> Tensor:
    """The parameter that ``value`` is, or is a view of."""
    return value if value._base is None else value._base


def _below(state: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """The part of a state dict that belongs to a module."""
    prefix = f'{path}.'
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
