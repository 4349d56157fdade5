"""The benchmark of single blocks: one layer of the student against one of the teacher."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.flops import attention_kind, count_flops
from benchmarks.model.benchmark import ROLES, build
from benchmarks.timing import Timing, interleave
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of


@dataclass
class BlockResult:
    """Both blocks at one number of tokens: forward, and forward and backward, by role."""

    tokens: int
    forward: dict[str, Timing]
    both: dict[str, Timing]

    def ratio(self, part: str) -> float:
        """Time of the student's block over that of the teacher's."""
        timings = getattr(self, part)
        return timings['student'].min / timings['teacher'].min

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        ratios = {f'{part}_ratio': self.ratio(part) for part in ('forward', 'both')}
        return {**asdict(self), **ratios}


@dataclass
class BlockPair:
    """The first layer of the student and of the teacher, of one width.

    Attributes:
        blocks: By role, each (B, tokens, width) -> the same.
        width: Of the tokens.
        attention: The operator that attends in the teacher's.
    """

    blocks: dict[str, nn.Module]
    width: int
    attention: str

    @classmethod
    def of(cls, models: Mapping[str, dict], device: torch.device) -> 'BlockPair':
        """Take them from the models of :func:`.model.read_models`.

        Raises:
            UserError: The widths differ.
        """
        blocks, widths = {}, {}
        for role in ROLES:
            backbone = build(
                models[role], models[role]['backbone'].get('img_size', 224), device
            ).backbone
            layout = layout_of(backbone)
            blocks[role] = backbone.get_submodule(layout.layer_paths()[0])
            widths[role] = layout.layer_dims()[0]
        if widths['student'] != widths['teacher']:
            raise UserError(
                f'Blocks of one width are compared, but the student is {widths["student"]} wide '
                f'and the teacher {widths["teacher"]}: pass a config whose widths agree, as '
                'configs/transmamba/vim-t_deit-t_in1k.py.'
            )
        width = widths['student']
        tokens = torch.randn(1, 4, width, device=device)
        attention = attention_kind(count_flops(lambda: blocks['teacher'](tokens)))
        return cls(blocks, width, attention)

    def compare(
        self, tokens: int, batch_size: int, seconds: float, device: torch.device
    ) -> BlockResult:
        """Time both at one number of tokens; the gradients are those of weights and input."""
        inputs = torch.randn(batch_size, tokens, self.width, device=device, requires_grad=True)
        dy = torch.randn(batch_size, tokens, self.width, device=device)

        def forward(block: nn.Module) -> Callable[[], object]:
            return torch.no_grad()(lambda: block(inputs))

        def both(block: nn.Module) -> Callable[[], object]:
            leaves = [inputs, *block.parameters()]
            return lambda: torch.autograd.grad(block(inputs), leaves, dy)

        timings = [
            interleave({role: part(self.blocks[role]) for role in ROLES}, seconds, device)
            for part in (forward, both)
        ]
        return BlockResult(tokens, *timings)
