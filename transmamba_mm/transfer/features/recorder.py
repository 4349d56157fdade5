"""Record inputs and outputs of modules inside a model."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError, nearest
from transmamba_mm.models.layouts import CallInputs, FeatureSource


class Recording:
    """Inputs and outputs of modules in one forward pass, by path; of several runs the last.

    Args:
        model (nn.Module): The model.

    Attributes:
        outputs (dict[str, Any]): Output of each recorded module.
        inputs (dict[str, CallInputs]): Arguments of each module whose inputs are recorded.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.outputs: dict[str, Any] = _Records()
        self.inputs: dict[str, CallInputs] = _Records()

    def read(self, source: FeatureSource, context: Any) -> Any:
        """The feature of a source; ``context`` is the second argument of its ``read``."""
        records = self.inputs if source.from_inputs else self.outputs
        return source.read(records[source.path], context)

    def check_graph(self) -> None:
        """Make sure that a loss on the record trains the modules that made it.

        Raises:
            UserError: A record without a graph, of a module with parameters to train: it was made
                inside of a reentrant activation checkpoint.
        """
        if not torch.is_grad_enabled():
            return
        for path, output in self.outputs.items():
            self._check(path, output, path)
        for path, inputs in self.inputs.items():
            # What comes in was made by the block around the module.
            self._check(path, inputs.args or tuple(inputs.kwargs.values()), _parent(path))

    def _check(self, path: str, value: Any, maker: str) -> None:
        # Of several inputs one may come from a frozen tower. A parameter among them has no graph.
        values = value if isinstance(value, tuple) else (value,)
        tensors = [v for v in values if isinstance(v, Tensor) and not isinstance(v, nn.Parameter)]
        if not tensors or any(tensor.requires_grad for tensor in tensors):
            return
        module = self.model.get_submodule(maker)
        if not any(True for _ in module.parameters()):  # a tap has none, its block has
            module = self.model.get_submodule(_parent(maker))
        if any(parameter.requires_grad for parameter in module.parameters()):
            raise UserError(
                f'A loss on {path!r} would give no gradient: an activation checkpoint around '
                'it, or one whose inputs need no gradient, keeps no graph. Use with_cp=True of '
                'the backbone instead, or name single layers in activation_checkpointing.'
            )


class FeatureRecorder:
    """Records the outputs of some modules of a model, and the inputs of others.

    ::

        recorder = FeatureRecorder(model, ['backbone.blocks.0', 'head'])
        with recorder.record(model) as recording:
            model(images)
        recording.outputs['backbone.blocks.0']  # (B, tokens, D)

    It is built once and holds names only, so that it can be copied and pickled with whatever owns
    it, and records copies of the model, too. Hooks are on the model only inside of the block: a
    block of ours keeps its directions apart while its tap is hooked, and a copy of a model takes
    its hooks along. Several recordings of one model may be nested.

    Args:
        model (nn.Module): The model.
        outputs, inputs (Sequence[str]): Module names as in ``model.named_modules()``.

    Raises:
        UserError: A path that does not exist; the message names the nearest that do.
    """

    def __init__(
        self, model: nn.Module, outputs: Sequence[str] = (), inputs: Sequence[str] = ()
    ) -> None:
        self.outputs = list(dict.fromkeys(outputs))
        self.inputs = list(dict.fromkeys(inputs))
        real = dict(model.named_modules(remove_duplicate=False))
        for path in self.outputs + self.inputs:
            if path not in real:
                raise UserError(
                    f'{type(model).__name__} has no module {path!r} to record. '
                    f'The nearest are: {nearest(path, real)}.'
                )

    @classmethod
    def of_sources(
        cls, model: nn.Module, sources: Iterable[FeatureSource], *more: str
    ) -> 'FeatureRecorder':
        """Record what features are read from, and the outputs of more modules."""
        sources = list(sources)
        outputs = [source.path for source in sources if not source.from_inputs]
        inputs = [source.path for source in sources if source.from_inputs]
        return cls(model, [*outputs, *more], inputs)

    @contextmanager
    def record(self, model: nn.Module) -> Iterator[Recording]:
        """Record the forward passes of ``model`` in a ``with`` block."""
        recording = Recording(model)
        with ExitStack() as hooks:
            for path in self.outputs:
                keep = partial(_keep_output, recording.outputs, path)
                handle = model.get_submodule(path).register_forward_hook(keep)
                hooks.callback(handle.remove)
            for path in self.inputs:
                keep = partial(_keep_inputs, recording.inputs, path)
                handle = model.get_submodule(path).register_forward_pre_hook(keep, with_kwargs=True)
                hooks.callback(handle.remove)
            yield recording


class _Records(dict):
    def __missing__(self, path: str) -> Any:
        raise KeyError(
            f'Nothing is recorded of {path!r}: it did not run, or was not to be recorded.'
        )


def _keep_output(
    records: dict[str, Any], path: str, module: nn.Module, args: tuple, output: Any
) -> None:
    records[path] = output


def _keep_inputs(
    records: dict[str, CallInputs], path: str, module: nn.Module, args: tuple, kwargs: dict
) -> None:
    records[path] = CallInputs(args, kwargs)


def _parent(path: str) -> str:
    return path.rpartition('.')[0]
