"""The benchmark of whole models: a transfer's student against its teacher, by image size."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from benchmarks.flops import attention_kind, count_flops
from benchmarks.memory import MemoryProcess
from benchmarks.timing import Timing, interleave
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_config

ROLES = ('student', 'teacher')


@dataclass
class Cost:
    """Cost of one model at one image size.

    Attributes:
        parameters: Their number.
        flops: Of the forward of one image, see :mod:`.flops`.
        attention: The operator that attends; of a student, none.
        latency: Forward of one image.
        batch: Forward of the batch.
        forward_bytes: Peak memory of that beyond weights and images.
        step: Training step of the batch: forward, loss, backward, AdamW.
        step_bytes: Peak memory of the first one, gradients and AdamW's state included.
    """

    parameters: int
    flops: int
    attention: str
    latency: Timing
    batch: Timing
    forward_bytes: int | None
    step: Timing | None = None
    step_bytes: int | None = None


@dataclass
class SizeResult:
    """Student and teacher on images of ``size`` x ``size`` pixels, ``tokens`` patches each."""

    size: int
    tokens: int
    batch_size: int
    costs: dict[str, Cost]

    def per_image(self, role: str, part: str) -> float:
        """Milliseconds per image in a batch; part is 'batch' or 'step'."""
        return getattr(self.costs[role], part).min / self.batch_size

    def ratio(self, part: str) -> float:
        """Time of the student over time of the teacher."""
        return self.per_image('student', part) / self.per_image('teacher', part)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        values = {**asdict(self), 'forward_ratio': self.ratio('batch')}
        for role in ROLES:
            values['costs'][role]['images_per_second'] = 1000 / self.per_image(role, 'batch')
        if self.costs['student'].step is not None:
            values['step_ratio'] = self.ratio('step')
        return values


def read_models(cfg: Config) -> dict[str, dict]:
    """Return the configs of a transfer's student and teacher.

    Raises:
        UserError: The config has no teacher.
    """
    if 'teacher' not in cfg.model:
        raise UserError(f'{cfg.filename} has no teacher: pass a config of configs/transmamba/.')
    models = {'student': student_config(cfg.model), 'teacher': cfg.model.teacher.model}
    return {role: model.to_dict() for role, model in models.items()}


def build(model: Mapping[str, Any], size: int, device: torch.device) -> nn.Module:
    """Build a model with random weights whose positions are made for ``size``: none is resized."""
    init_default_scope('transmamba_mm')
    config = copy.deepcopy(dict(model))
    config['backbone']['img_size'] = size
    return MODELS.build(config).to(device).eval()


def images(model: Mapping[str, Any], size: int, batch_size: int, device: torch.device):
    """Draw (batch_size, C, size, size) noise."""
    channels = model['backbone'].get('in_channels', 3)
    return torch.randn(batch_size, channels, size, size, device=device)


def forward_call(model: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    """Return the prediction of logits, as a call."""

    @torch.no_grad()
    def forward() -> object:
        return model(inputs, mode='tensor')

    return forward


def step_call(model: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    """Return a training step with hard labels and AdamW, as a call; sets the model to train."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    labels = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs, mode='tensor'), labels).backward()
        optimizer.step()

    return step


CALLS = {'batch': forward_call, 'step': step_call}


def benchmark_size(
    models: Mapping[str, dict],
    size: int,
    batch_size: int,
    train: bool,
    seconds: float,
    device: torch.device,
    memory: MemoryProcess,
) -> SizeResult:
    """Compare both models on images of one size.

    Args:
        models: From :func:`read_models`.
        size: Side of the images, pixels.
        batch_size: Of all but the latency.
        train: Whether to measure training steps, too.
        seconds: Budget of each timing.
        device: Where.
        memory: Where peaks are measured.
    """
    built = {role: build(models[role], size, device) for role in ROLES}
    layout = layout_of(built['teacher'].backbone)
    rows, cols = layout.layer_grids((size, size))[0]
    inputs = images(models['student'], size, batch_size, device)

    def times(part: str, batch: torch.Tensor) -> dict[str, Timing]:
        calls = {role: CALLS[part](built[role], batch) for role in ROLES}
        return interleave(calls, seconds, device)

    counts = {role: count_flops(forward_call(built[role], inputs[:1])) for role in ROLES}
    latency, batch = times('batch', inputs[:1]), times('batch', inputs)
    step: dict[str, Timing] = times('step', inputs) if train else {}
    costs = {}
    for role in ROLES:
        arguments = (models[role], size, batch_size, device.type)
        costs[role] = Cost(
            parameters=sum(p.numel() for p in built[role].parameters()),
            flops=sum(counts[role].values()),
            attention=attention_kind(counts[role]),
            latency=latency[role],
            batch=batch[role],
            forward_bytes=memory.peak(_prepare, 'batch', *arguments),
            step=step.get(role),
            step_bytes=memory.peak(_prepare, 'step', *arguments) if train else None,
        )
    return SizeResult(size, rows * cols, batch_size, costs)


def _prepare(
    part: str, model: dict, size: int, batch_size: int, device_type: str
) -> Callable[[], object]:
    """Make a call for :class:`MemoryProcess`; another model of its kind warms up on one image."""
    device = torch.device(device_type)
    CALLS[part](build(model, size, device), images(model, size, 1, device))()
    return CALLS[part](build(model, size, device), images(model, size, batch_size, device))
