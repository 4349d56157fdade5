"""Base class of Transformers whose attention is swapped for Mamba mixers."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from transmamba_mm.checks import Each, Number, check
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import FeatureSource, TokenLayout, layout_of
from transmamba_mm.models.mixers.direction_tap import DirectionTap
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer_checkpoint import take_student

STARTS = ('values', 'mamba')


class SwappedMixer(nn.Module):
    """A mixer in the place of an attention module; a subclass is called as that was.

    Args:
        mixer (nn.Module): The mixer, with ``init_weights(num_layers)`` and ``mix_values()``.
        attention (nn.Module): What it replaces.

    Attributes:
        tap (DirectionTap): Gets the direction feature (B, K, L, D).
        with_cp (bool): Recompute the mixer in the backward pass of a training.
    """

    def __init__(self, mixer: Any, attention: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer
        self.tap = DirectionTap()
        self.returns_tuple = type(attention).__module__.startswith('transformers.')
        self.with_cp = False

    def mix(self, *args: Any) -> Tensor:
        """What the mixer makes of its arguments."""
        if self.with_cp and self.training:
            return recompute(self.mixer, *args, use_reentrant=False)
        return self.mixer(*args)

    def output(self, mixed: Tensor) -> Any:
        """The output of attention: of transformers' with attention weights, which are None."""
        return (mixed, None) if self.returns_tuple else mixed


class SwappedTransformer(BaseModule, TokenLayout):
    """A Transformer in which Mamba mixers stand for attention, in some or all layers.

    Subclasses make the mixers (:meth:`make_swap`) and run the Transformer.

    Args:
        transformer (dict | nn.Module): The Transformer.
        layers (Sequence[int], optional): Layers that are swapped, counted from 0, or from the end;
            by default all.
        mixer (dict, optional): Options of the mixers besides :attr:`mixer_options`.
        start (str): How mixers start: 'values' or 'mamba'.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Raises:
        UserError: A Transformer without a layout; a layer that it does not have; options with
            which a mixer cannot start from values.
    """

    _checkpoint_filter = staticmethod(take_student)
    #: As wide as attention, with its biases, reading the values themselves: what attention has,
    #: fits.
    mixer_options: ClassVar[dict[str, Any]] = {'bias': True, 'conv_activation': None}
    #: Directions of a mixer.
    mixer_directions: int

    def __init__(
        self,
        transformer: dict | nn.Module,
        layers: Sequence[int] | None,
        mixer: dict | None,
        start: str,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg)
        built: Any = MODELS.build(transformer) if isinstance(transformer, dict) else transformer
        self.transformer = built
        self.start = start
        depth = len(self.layout.layer_paths())
        there = Each(Number(-depth, depth - 1, whole=True), alone=False, may_be_empty=True)
        if layers is not None:
            check(type(self).__name__, 'layers', layers, there)
        self.swapped = sorted({i % depth for i in (range(depth) if layers is None else layers)})
        options = {**self.mixer_options, **(mixer or {})}
        if start == 'values' and (not options['bias'] or options['conv_activation']):
            raise UserError(
                f"start='values' of {type(self).__name__} needs mixer.bias=True and "
                "mixer.conv_activation=None; set start='mamba', or leave these out of mixer."
            )
        paths = self.layout.mixer_paths()
        for layer in self.swapped:
            attention = self.core.get_submodule(paths[layer])
            swap = self.make_swap(layer, attention, options)
            swap.requires_grad_(any(weight.requires_grad for weight in attention.parameters()))
            self.core.set_submodule(paths[layer], swap)

    @abstractmethod
    def make_swap(self, layer: int, attention: Any, options: Mapping[str, Any]) -> SwappedMixer:
        """The mixer that stands for the attention of a layer."""

    @property
    def core(self) -> Any:
        """The module with the layers: the Transformer, or a part of it."""
        return self.transformer

    @property
    def core_path(self) -> str:
        """Path of :attr:`core`."""
        return 'transformer'

    @property
    def layout(self) -> TokenLayout:
        """Of the core; paths in it are relative to that."""
        return layout_of(self.core)

    def swaps(self) -> list[Any]:
        """The mixers that stand for attention, in depth order."""
        paths = self.layout.mixer_paths()
        return [self.core.get_submodule(paths[layer]) for layer in self.swapped]

    def init_mixers(self) -> None:
        """Initialize the mixers alone, as ``start`` has it."""
        for swap in self.swaps():
            swap.mixer.init_weights(len(self.layout.layer_paths()))
            if self.start == 'values':
                swap.mixer.mix_values()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every mixer in the backward pass, or stop doing so; by timm's name."""
        for swap in self.swaps():
            swap.with_cp = enable

    @property
    def embed_dims(self) -> int:
        """Width D of the last layer."""
        return self.layer_dims()[-1]

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'{self.core_path}.{path}' for path in self.layout.layer_paths()]

    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""
        return self.layout.layer_dims()

    @property
    def num_directions(self) -> int:
        """Those of the mixers, or none of a hybrid, which has layers without any."""
        return self.mixer_directions if len(self.swapped) == len(self.layer_paths()) else 0

    def direction_paths(self) -> list[str]:
        """Modules, one per layer, whose output is the direction feature (B, K, tokens, D)."""
        return [f'{path}.tap' for path in self.mixer_paths()] if self.num_directions else []

    def mixer_paths(self) -> list[str]:
        """Mixer or attention of each layer."""
        return [f'{self.core_path}.{path}' for path in self.layout.mixer_paths()]

    def attention_maps(self) -> list[FeatureSource]:
        """Those of a Transformer with no layer swapped."""
        if self.swapped:
            raise self.lacks('attention maps', 'attention_maps')
        return [source.below(self.core_path) for source in self.layout.attention_maps()]

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names; those of a swapped mixer are ``layers.#.mixer...``."""
        mixers = {f'{path}.': layer for layer, path in enumerate(self.mixer_paths())}
        named, rest = {}, {}
        for key, value in state.items():
            path = next((path for path in mixers if key.startswith(f'{path}mixer.')), None)
            if path is None:
                inside = key.removeprefix(f'{self.core_path}.')
                rest[inside.removeprefix('transformer.')] = value
            else:
                named[f'layers.{mixers[path]}.{key.removeprefix(path)}'] = value
        return {**self.layout.canonical_weights(rest), **named}

    def rule_weights(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Canonical names: a swap and its Transformer use the same ones."""
        return self.canonical_weights(parameters)

    def rule_layers(self) -> list[str]:
        """Path of each layer in canonical names."""
        return [f'layers.{layer}' for layer in range(len(self.layer_paths()))]
