"""The stages of one transfer, and which of them it is in."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS, build_in_scope
from transmamba_mm.transfer.features.model_match import ModelMatch
from transmamba_mm.transfer.progress import Progress
from transmamba_mm.transfer.stages import build_stages, stage_ends


class StagePlan(nn.ModuleDict):
    """Stages with the distillers that are theirs alone, by number. Without stages it is empty.

    Args:
        configs (Sequence[Mapping]): Of each :class:`Stage`.
        student (nn.Module): Whose parameters they train.
        match (ModelMatch): For their distillers.

    Attributes:
        stages (list[Stage]): The stages.
        current (int | None): The stage that was entered; None before that.
    """

    def __init__(
        self, configs: Sequence[Mapping[str, Any]], student: nn.Module, match: ModelMatch
    ) -> None:
        self.stages = build_stages(configs)
        super().__init__(
            {
                str(index): build_in_scope(DISTILLERS, {**stage.distiller, 'match': match})
                for index, stage in enumerate(self.stages)
                if stage.distiller
            }
        )
        names = [name for name, p in student.named_parameters() if p.requires_grad]
        self._trained = [set(stage.trained(student, names)) for stage in self.stages]
        self.current: int | None = None

    def distiller(self, default: nn.Module) -> Any:
        """The distiller of the current stage.

        Raises:
            UserError: No stage was entered.
        """
        if self.stages and self.current is None:
            raise UserError(
                "No stage was entered: add dict(type='transmamba_mm.StageHook') to custom_hooks, "
                'or call enter_stage.'
            )
        return self._distiller_of(self.current, default)

    def enter(self, index: int, student: nn.Module, default: nn.Module) -> None:
        """Freeze all that a stage does not train."""
        self.current = index
        for name, parameter in student.named_parameters():
            parameter.requires_grad_(name in self._trained[index])
        for distiller in {default, *self.values()}:
            distiller.requires_grad_(distiller is self._distiller_of(index, default))

    def progress(self) -> Progress:
        """Steps of the current stage, from 0; without stages, of the training."""
        progress = Progress.of_runner()
        if self.current is None or progress == Progress():  # no stages, or no Runner
            return progress
        ends = stage_ends(self.stages, progress.total)
        first, end = [0, *ends][self.current], ends[self.current]
        return Progress(max(progress.step - first, 0), end - first)

    def _distiller_of(self, index: int | None, default: nn.Module) -> nn.Module:
        key = str(index)
        return self[key] if key in self else default  # noqa: SIM401  (a ModuleDict has no get)
