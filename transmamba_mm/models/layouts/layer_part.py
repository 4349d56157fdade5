"""The parts of a Transformer's layer."""

from enum import Enum
from typing import NamedTuple


class LayerPart(str, Enum):
    """A layer of a Transformer, or one of its two branches."""

    WHOLE = 'layer'
    ATTENTION = 'attention'
    MLP = 'mlp'

    def __str__(self) -> str:
        return self.value


class MLPPaths(NamedTuple):
    """Modules around the MLP of a layer.

    Attributes:
        stream: Its input is the residual stream between attention and MLP.
        inputs: Its input is the MLP's input, after the norm.
        output: Its output is the MLP's addition to the residual stream.
    """

    stream: str
    inputs: str
    output: str

    def below(self, root: str) -> 'MLPPaths':
        """The same modules, of a backbone at ``root``."""
        return MLPPaths(*(f'{root}.{path}' for path in self))
