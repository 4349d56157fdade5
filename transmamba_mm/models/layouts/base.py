"""The typed view of a backbone that a transfer works with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from inspect import isabstract
from itertools import groupby
from typing import Any, ClassVar

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts.feature_source import CallInputs, FeatureSource
from transmamba_mm.models.layouts.layer_part import MLPPaths

Grid = tuple[int, int]


class TokenLayout(ABC):
    """Names and shapes of the layers, tokens and weights of a backbone.

    Any two models compare in *canonical order*: patches in raster order, cls apart. Weights go from
    one to the other by *canonical names*:

    ================================================  ==============================================
    ``patch_embed``, ``patch_norm``                   patch embedding, and a norm behind it
    ``token_embed``                                   word embeddings
    ``pos_embed``                                     positions (1, tokens, D), cls entries first
    ``cls_token``, ``dist_token``                     (1, 1, D)
    ``layers.#.norm1``, ``layers.#.norm2``            norms before attention and MLP
    ``layers.#.attn.q``, ``.k``, ``.v``, ``.out``     attention
    ``layers.#.attn.shared_v``                        values that several heads share; ``v`` has
                                                      them once for each head
    ``layers.#.mlp.fc1``, ``.fc2``, ``.gate``         MLP; ``gate`` of gated ones
    ``layers.#.scale1``, ``layers.#.scale2``          layer scale behind attention and MLP
    ``norm``                                          final norm
    ``head``, ``head_dist``, ``lm_head``              classifier or projection; language model head
    ================================================  ==============================================

    Layers count through all stages of a hierarchical model. Paths are relative to the backbone.

    Each kind of feature that a distiller may compare is one method, which returns a
    :class:`FeatureSource` for every layer and has the name of its ``FeatureKind``:
    :meth:`layer_features`, :meth:`direction_features`, :meth:`mixer_inputs`, :meth:`mixer_outputs`,
    :meth:`attention_maps`, :meth:`keys_queries`. A family that lacks a kind raises a ``UserError``.
    A student layer that is matched with one branch of a teacher layer compares with
    :meth:`middle_features`, :meth:`mlp_inputs` and :meth:`mlp_outputs`.
    """

    #: Whether clips (B, C, T, H, W) are taken whole, rather than frame by frame.
    takes_clips: bool = False

    @abstractmethod
    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""

    @abstractmethod
    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""

    @abstractmethod
    def layer_grids(self, image_size: Any) -> list[Any]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width) pixels.

        Raises:
            UserError: Patches do not cover the image.
        """

    @abstractmethod
    def to_canonical(self, tokens: Any, grid: Any) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into patches in raster order (B, L, D) and cls (B, D) or None."""

    def direction_paths(self) -> list[str]:
        """Modules, one per layer, whose output is the direction feature (B, K, tokens, D)."""
        return []

    @property
    def num_directions(self) -> int:
        """Scan directions K of each layer; attention has none."""
        return 0

    def mixer_paths(self) -> list[str]:
        """Modules, one per layer, that mix tokens: attention, or a scan with its projections.

        Raises:
            UserError: The layout does not name them.
        """
        raise self.lacks('mixer inputs and outputs', 'mixer_paths')

    def run_mixer(
        self, layer: int, patches: Tensor, cls: Tensor | None, grid: Any, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None] | None:
        """Run the scan of one layer on given tokens; returns as :meth:`mixer_outputs`.

        Args:
            layer (int): The layer.
            patches (Tensor): (B, L, D) in raster order; of a tower of text its tokens.
            cls (Tensor, optional): (B, D).
            grid (tuple[int, int]): Of the patches; None of text.
            mask (Tensor, optional): (B, L) of text, 0 for padding.

        Returns:
            None of a layer that keeps its attention.

        Raises:
            UserError: The family cannot run them alone.
        """
        raise self.lacks('mixers that run alone', 'run_mixer')

    def layer_features(self) -> list[FeatureSource]:
        """Residual stream after each layer: patches (B, L, D) and cls (B, D) or None."""
        return [FeatureSource(path, self.to_canonical) for path in self.layer_paths()]

    def direction_features(self) -> list[FeatureSource]:
        """Contribution of each scan direction to each layer: patches (B, K, L, D), no cls.

        Raises:
            UserError: The family has no scan directions.
        """
        if not (paths := self.direction_paths()):
            raise self.lacks('direction features', 'direction_paths')
        return [FeatureSource(path, self._split_directions) for path in paths]

    def mixer_inputs(self) -> list[FeatureSource]:
        """Input of each mixer, after the norm: patches (B, L, D) and cls (B, D) or None."""
        return [FeatureSource(path, self._split_inputs, True) for path in self.mixer_paths()]

    def mixer_outputs(self) -> list[FeatureSource]:
        """Each mixer's output to the residual stream: patches (B, L, D), cls (B, D) or None."""
        return [FeatureSource(path, self.to_canonical) for path in self.mixer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around the MLP of each layer.

        Raises:
            UserError: The layout does not name them.
        """
        raise self.lacks('MLP in its layers', 'mlp_paths')

    def middle_features(self) -> list[FeatureSource]:
        """Residual stream between attention and MLP: patches (B, L, D) and cls (B, D) or None."""
        return [FeatureSource(paths.stream, self._split_inputs, True) for paths in self.mlp_paths()]

    def mlp_inputs(self) -> list[FeatureSource]:
        """Input of each MLP, after the norm: patches (B, L, D) and cls (B, D) or None."""
        return [FeatureSource(paths.inputs, self._split_inputs, True) for paths in self.mlp_paths()]

    def mlp_outputs(self) -> list[FeatureSource]:
        """Each MLP's addition to the residual stream: patches (B, L, D) and cls (B, D) or None."""
        return [FeatureSource(paths.output, self.to_canonical) for paths in self.mlp_paths()]

    @property
    def mlp_activation(self) -> str | None:
        """Activation of MLPs ``fc2(act(fc1 h))``, as transformers spells it; None of gated ones."""
        return None

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities of each layer, (B, heads, tokens, tokens); each row sums to 1.

        Tokens are in the order of the model, extra tokens before the patches.

        Raises:
            UserError: The family has no attention.
        """
        raise self.lacks('attention maps', 'attention_maps')

    def key_dims(self) -> list[int]:
        """Width of the keys of each layer, as wide as its queries; 0 if they are not named."""
        return [0] * len(self.layer_paths())

    def keys_queries(self) -> list[FeatureSource]:
        """Keys and queries of each layer, side by side: patches (B, L, 2E) and cls (B, 2E) or None.

        Heads stand one after another. Of scans they are B and C in each direction, (B, K, L, 2N)
        and no cls.

        Raises:
            UserError: The family does not name them.
        """
        raise self.lacks('keys and queries', 'keys_queries')

    @property
    def family(self) -> str:
        """Class of the backbone, for messages."""
        return type(self).__name__

    def lacks(self, kind: str, method: str) -> UserError:
        """The error of a family that has no features of a kind."""
        return UserError(
            f'{self.family} has no {kind}: choose a distiller that does not compare them, or '
            f'implement {method} of its TokenLayout.'
        )

    def _split_directions(self, directions: Tensor, grid: Any) -> tuple[Tensor, None]:
        patches, _ = self.to_canonical(directions.flatten(0, 1), grid)  # of (B, K, tokens, D)
        return patches.unflatten(0, directions.shape[:2]), None

    def _split_inputs(self, inputs: CallInputs, grid: Any) -> tuple[Tensor, Tensor | None]:
        return self.to_canonical(inputs.hidden_states, grid)

    def stage_depths(self) -> list[int]:
        """Layers of each stage; a flat model is one stage."""
        return count_stages(self.layer_paths())

    @property
    def position_grid(self) -> Grid | None:
        """Patch grid (H, W) of the position embeddings, where the backbone has it."""
        return None

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the backbone by canonical names; others keep their names.

        Args:
            state (Mapping[str, Tensor]): State dict of the backbone.

        Raises:
            UserError: The family cannot be subcloned.
        """
        raise UserError(
            f'{type(self).__name__} has no canonical weights, so nothing can be subcloned from it: '
            'set subcloning=None, or implement TokenLayout.canonical_weights.'
        )

    def rule_weights(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of a student by the names that its subcloning table uses; by default its own.

        Args:
            parameters (Mapping[str, Tensor]): Of the backbone. Other names may be views of them.
        """
        return dict(parameters)

    def rule_layers(self) -> list[str]:
        """Path of each layer in those names; by default its module."""
        return self.layer_paths()


class AdapterLayout(TokenLayout):
    """The layout of a backbone of another library. A subclass takes part by being defined.

    Args:
        backbone (nn.Module): One that :meth:`accepts` is true of.
    """

    FAMILIES: ClassVar[list[type['AdapterLayout']]] = []

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        AdapterLayout.FAMILIES.append(cls)

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    @property
    def family(self) -> str:
        """Class of the backbone, for messages."""
        return type(self.backbone).__name__

    @classmethod
    @abstractmethod
    def accepts(cls, backbone: Any) -> bool:
        """Whether ``backbone`` is of this family."""


def layout_of(backbone: Any) -> TokenLayout:
    """The layout of a backbone: itself if it is a ``TokenLayout``, else its family's adapter.

    Raises:
        UserError: No family of ours.
    """
    if isinstance(backbone, TokenLayout):
        return backbone
    families = [family for family in AdapterLayout.FAMILIES if not isabstract(family)]
    for family in families:
        if family.accepts(backbone):
            return family(backbone)
    raise UserError(
        f'{type(backbone).__name__} cannot take part in a transfer: it is no TokenLayout, and none '
        f'of {", ".join(family.__name__ for family in families)} accepts it. Use a '
        'VisionTransformer or SwinTransformer of mmpretrain or one of our backbones, or write a '
        'layout (see transmamba_mm.models.layouts).'
    )


def count_stages(paths: Sequence[str]) -> list[int]:
    """Layers in each stage, for paths in depth order; a flat model is one stage."""

    def stage(path: str) -> list[int]:
        return [int(part) for part in path.split('.') if part.isdecimal()][:-1]

    return [len(list(group)) for _, group in groupby(paths, stage)]
