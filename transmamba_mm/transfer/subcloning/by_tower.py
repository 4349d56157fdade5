"""Stage 1 of a whole model, tower by tower."""

from typing import Any

import torch
from torch import nn

from transmamba_mm.checks import FLAG, check
from transmamba_mm.errors import UserError
from transmamba_mm.models.towers import towers_of, view_of
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.layer_map import is_by_tower
from transmamba_mm.transfer.subcloning.report import TransferLine, TransferReport


def build_subcloning(
    config: dict | None, layer_map: Any, student: nn.Module, teacher: nn.Module
) -> dict[str, Any]:
    """Build stage 1 of each tower that has one.

    Args:
        config (dict, optional): Of a ``WeightSubcloning`` of the first tower, or one for each tower
            by name; and True for a parameter beside the towers (``logit_scale`` of a retriever).
        layer_map (str | dict | list): Of the transfer; a config without its own takes it.
        student, teacher (nn.Module): The models.

    Raises:
        UserError: A tower that one of the models does not have; a layer map that names parts of
            layers for a student without rules for them.
    """
    if config is None:
        return {}
    ours, theirs = list(towers_of(student)), list(towers_of(teacher))
    scalars = [name for name in view_of(student).scalars() if name in view_of(teacher).scalars()]
    by_tower = config if is_by_tower(config) else {ours[0]: config}
    built: dict[str, Any] = {}
    for name, part in by_tower.items():
        if name in scalars:
            check('the transfer', f'subcloning.{name}', part, FLAG)
            if part:
                built[name] = ScalarCopy()
            continue
        if name not in ours or name not in theirs:
            raise UserError(
                f'subcloning is about {name!r}; the student has the towers {", ".join(ours)}, '
                f'the teacher {", ".join(theirs)}'
                + (f', and both have {", ".join(scalars)}.' if scalars else '.')
            )
        chosen = layer_map.get(name, 'uniform') if is_by_tower(layer_map) else layer_map
        built[name] = MODELS.build({'layer_map': chosen, **part})
        try:
            built[name].check_parts(student, teacher, name)
        except UserError as error:
            raise UserError(f'subcloning.{name}: {error}') from error
    return built


class ScalarCopy:
    """Copies a parameter beside the towers, such as the scale of a retriever's similarities."""

    calibration = None  # nothing of it is measured

    @torch.no_grad()
    def apply(self, student: nn.Module, teacher: nn.Module, name: str) -> TransferReport:
        """Overwrite the student's; the report has its line."""
        path = view_of(student).scalars()[name]
        ours, theirs = (
            model.get_parameter(view_of(model).scalars()[name]) for model in (student, teacher)
        )
        ours.copy_(theirs)
        count = ours.numel()
        line = TransferLine(path, 'cloned', 'same name', tuple(ours.shape), count, count, name)
        return TransferReport([line])


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
