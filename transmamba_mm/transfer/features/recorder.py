"""Look at what modules inside a model return, for the duration of a ``with`` block."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError


class FeatureRecorder(Mapping[str, Any]):
    """Keeps the last output of each named module while it is active.

    ::

        recorder = FeatureRecorder(model, ['backbone.blocks.0', 'head'])
        with recorder:
            model(images)
        recorder['backbone.blocks.0']  # (B, tokens, D)

    Nothing is hooked outside the block. After it the record stays readable, until the next block
    starts an empty one; when the block raises, it is dropped. A module that runs more than once
    leaves its last output. Several recorders may be active on one model; the same one twice at
    once is an error, since it has only one record.

    Args:
        model (nn.Module): The model to look into.
        paths (Sequence[str]): Module names as in ``model.named_modules()``.

    Raises:
        UserError: A path that does not exist; the message names the nearest that do.
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        real = dict(model.named_modules(remove_duplicate=False))
        for path in paths:
            if path not in real:
                nearest = get_close_matches(path, real, n=3, cutoff=0.0)
                raise UserError(
                    f'{type(model).__name__} has no module {path!r} to record. '
                    f'The nearest are: {", ".join(map(repr, nearest))}.'
                )
        self._modules = {path: real[path] for path in paths}
        #: Whose parameters a loss on the record should train; a tap has none, its block has.
        self._trained = {
            path: module if any(True for _ in module.parameters()) else real[_parent(path)]
            for path, module in self._modules.items()
        }
        self._outputs: dict[str, Any] = {}
        self._hooks: ExitStack | None = None

    def __enter__(self) -> 'FeatureRecorder':
        if self._hooks is not None:
            raise RuntimeError(
                'This FeatureRecorder is active already; record a nested pass with another one.'
            )
        self._outputs = {}
        self._hooks = ExitStack()
        for path, module in self._modules.items():
            handle = module.register_forward_hook(partial(self._keep, path))
            self._hooks.callback(handle.remove)
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        assert self._hooks is not None
        self._hooks.close()
        self._hooks = None
        if error_type is not None:
            self._outputs = {}

    def _keep(self, path: str, module: nn.Module, args: tuple, output: Any) -> None:
        self._outputs[path] = output

    def check_graph(self) -> None:
        """Make sure that a loss on the record trains the modules that made it.

        Raises:
            UserError: A record without a graph, of a module with parameters to train: it was made
                inside of a reentrant activation checkpoint.
        """
        for path, output in self._outputs.items() if torch.is_grad_enabled() else ():
            tensor = output[0] if isinstance(output, tuple) else output
            if not isinstance(tensor, Tensor) or tensor.requires_grad:
                continue
            if any(parameter.requires_grad for parameter in self._trained[path].parameters()):
                raise UserError(
                    f'A loss on {path!r} would give no gradient: an activation checkpoint around '
                    'it, or one whose inputs need no gradient, keeps no graph. Use with_cp=True of '
                    'the backbone instead, or name single layers in activation_checkpointing.'
                )

    def __getitem__(self, path: str) -> Any:
        """Return the last output of the module at ``path``; KeyError if there is none."""
        if path in self._outputs:
            return self._outputs[path]
        reason = 'did not run' if path in self._modules else 'was not asked for'
        raise KeyError(f'Module {path!r} {reason}, so nothing was recorded of it.')

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


def _parent(path: str) -> str:
    return path.rpartition('.')[0]
