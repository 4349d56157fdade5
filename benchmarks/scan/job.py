"""One implementation of the scan, prepared for one problem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.memory import MemoryProcess
from benchmarks.scan.peers import Contender, contender
from benchmarks.scan.problem import Operands, ScanShape, random_operands
from benchmarks.timing import elapsed

#: A short run on this share of the tokens predicts how long the whole takes.
PROBE = 8
FLOAT_BYTES = 4


@dataclass
class ScanJob:
    """A contender with its operands in place, ready to be called.

    Attributes:
        contender: What runs.
        operands: In its layout, each wanting a gradient.
        dy: Gradient of the loss by y, in its layout.
        directions: K.
    """

    contender: Contender
    operands: Operands
    dy: Tensor
    directions: int

    @classmethod
    def of(
        cls,
        contender: Contender,
        problem: tuple[Operands, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> 'ScanJob':
        """Move channel-last operands and dy to the contender's layout, the device and dtype."""
        placed = contender.layout.place(problem[0])
        leaves = (tensor.to(device, dtype, copy=True).requires_grad_() for tensor in placed)
        dy = contender.layout.tokens(problem[1]).contiguous().to(device, dtype)
        return cls(contender, Operands(*leaves), dy, problem[1].shape[1])

    def forward(self) -> Tensor:
        """Scan, as for a prediction."""
        with torch.no_grad():
            return self.contender.scan(self.operands)

    def both(self) -> tuple[Tensor, ...]:
        """Scan and differentiate by every operand: y and the gradients."""
        y = self.contender.scan(self.operands)
        return y.detach(), *torch.autograd.grad(y, self.operands, self.dy)

    def results(self) -> dict[str, Tensor]:
        """Return y and the gradients dx, ddelta, ... by name, channel-last, in float64."""
        y, *gradients = self.both()
        layout = self.contender.layout
        restored = layout.restore(Operands(*gradients), self.directions)._asdict()
        named = {'y': layout.tokens_back(y, self.directions)}
        named |= {f'd{name}': gradient for name, gradient in restored.items()}
        return {name: tensor.double() for name, tensor in named.items()}


def relative_errors(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, float]:
    """Largest difference over the largest expected value, of each tensor."""
    return {
        name: float((found[name] - value).abs().max() / value.abs().max())
        for name, value in expected.items()
    }


def predict_seconds(one: Contender, shape: ScanShape, device: torch.device) -> float:
    """Predict forward and backward from a run on fewer tokens, by how the contender grows."""
    length = max(1, shape.length // PROBE)
    job = ScanJob.of(one, random_operands(shape._replace(length=length)), device)
    probes = [elapsed(job.both, device) for _ in range(3)]
    return min(probes) * (shape.length / length) ** one.growth


def measure_memory(
    name: str, shape: ScanShape, device: torch.device, memory: MemoryProcess
) -> tuple[int | None, float | None]:
    """Measure the peak of forward and backward.

    Returns:
        The bytes beyond the operands and dy; and these with them, over operands, dy, y and
        gradients, which is 1 where nothing but what was asked for is ever allocated.
    """
    peak = memory.peak(_prepare, name, shape, device.type)
    if peak is None:
        return None, None
    operands = 2 * shape.token_elements + 2 * shape.matrix_elements + shape.weight_elements
    held = FLOAT_BYTES * (operands + shape.token_elements)
    needed = FLOAT_BYTES * (2 * operands + 2 * shape.token_elements)
    return peak, (held + peak) / needed


def _prepare(name: str, shape: ScanShape, device_type: str) -> Callable[[], object]:
    device = torch.device(device_type)
    one = contender(name, device)
    # Libraries are loaded and threads started on another problem.
    small = ScanShape(2, shape.directions, 16, 3, shape.states)
    ScanJob.of(one, random_operands(small), device).both()
    return ScanJob.of(one, random_operands(shape), device).both
