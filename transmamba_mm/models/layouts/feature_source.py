"""The module that computes a feature."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor


class CallInputs(NamedTuple):
    """Arguments of one call of a module."""

    args: tuple
    kwargs: dict[str, Any]

    @property
    def hidden_states(self) -> Tensor:
        """The first argument, which transformers' attention takes by this name."""
        return self.args[0] if self.args else self.kwargs['hidden_states']


@dataclass(frozen=True)
class FeatureSource:
    """A module, and the conversion of its recording into a feature.

    Sources are built for each reading of features and never stored: ``read`` may be bound to a
    backbone, which a copy of the model does not share.

    Attributes:
        path (str): Of the module, relative to the backbone; in a ``ModelView`` to the model.
        read (Callable): Turns the record into the feature. A layer's takes ``(record, grid)``, with
            the patch grid (H, W), or None in a text tower, and returns patches (B, L, D) and cls
            (B, D) or None, or a tensor. A model's takes ``(record, tokens)``, with the
            ``TokenBatch`` of the forward pass, or None without text, and returns a tensor.
        from_inputs (bool): The record is the :class:`CallInputs` of the module, not its output.
    """

    path: str
    read: Callable[[Any, Any], Any]
    from_inputs: bool = False

    def below(self, root: str) -> 'FeatureSource':
        """The same source, for a backbone at ``root``."""
        return replace(self, path=f'{root}.{self.path}')
