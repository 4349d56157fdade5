"""Stage 1 of a whole model, tower by tower."""

from typing import Any

from torch import nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.towers import towers_of
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.layer_map import is_by_tower
from transmamba_mm.transfer.subcloning.report import TransferReport


def build_subcloning(
    config: dict | None, layer_map: Any, student: nn.Module, teacher: nn.Module
) -> dict[str, Any]:
    """Build stage 1 of each tower that has one.

    Args:
        config (dict, optional): Of a ``WeightSubcloning`` of the first tower, or one for each tower
            by name.
        layer_map (str | dict | list): Of the transfer; a config without its own takes it.
        student, teacher (nn.Module): The models.

    Raises:
        UserError: A tower that one of the models does not have; a layer map that names parts of
            layers for a student without rules for them.
    """
    if config is None:
        return {}
    ours, theirs = list(towers_of(student)), list(towers_of(teacher))
    by_tower = config if is_by_tower(config) else {ours[0]: config}
    built = {}
    for name, part in by_tower.items():
        if name not in ours or name not in theirs:
            raise UserError(
                f'subcloning is about the tower {name!r}; the student has {", ".join(ours)}, '
                f'the teacher {", ".join(theirs)}.'
            )
        chosen = layer_map.get(name, 'uniform') if is_by_tower(layer_map) else layer_map
        built[name] = MODELS.build({'layer_map': chosen, **part})
        try:
            built[name].check_parts(student, teacher, name)
        except UserError as error:
            raise UserError(f'subcloning.{name}: {error}') from error
    return built


def subclone_towers(
    subcloning: dict[str, Any], student: nn.Module, teacher: nn.Module
) -> TransferReport | None:
    """Subclone each tower; None if there is no tower to subclone.

    Raises:
        UserError: What does not fit, with the name of the tower.
    """
    report: TransferReport | None = None
    for name, part in subcloning.items():
        try:
            own = part.apply(student, teacher, name)
        except UserError as error:
            raise UserError(f'subcloning.{name}: {error}') from error
        report = own if report is None else report.joined(own)
    return report
