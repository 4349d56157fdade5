"""The face of a ``TokenBackbone`` on Transformers of the transformers library."""

from typing import Any

from torch import Tensor

from transmamba_mm.errors import UserError


class ClipVisionLayout:
    """CLIP's vision Transformer (arXiv 2103.00020), alone or inside a CLIP or a LLaVA.

    Args:
        backbone: A ``CLIPVisionModel``.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        prefix = 'vision_model.' if hasattr(self.backbone, 'vision_model') else ''
        count = self.backbone.config.num_hidden_layers
        return [f'{prefix}encoder.layers.{i}' for i in range(count)]

    def direction_paths(self) -> list[str]:
        """None: attention looks everywhere at once."""
        return []

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        config = self.backbone.config
        return [config.hidden_size] * config.num_hidden_layers

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width).

        Raises:
            UserError: An image that patches do not cover.
        """
        patch = self.backbone.config.patch_size
        height, width = image_size
        if height % patch or width % patch:
            raise UserError(
                f'CLIP cannot cut an image of {height}x{width} pixels into patches of {patch}: set '
                f'img_size of the teacher to {self.backbone.config.image_size}.'
            )
        return [(height // patch, width // patch)] * self.backbone.config.num_hidden_layers

    def to_canonical(self, tokens: Any, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Split (B, 1 + L, D) into patches in raster order (B, L, D) and cls (B, D)."""
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        return tokens[:, 1:], tokens[:, 0]


class DecoderLayout:
    """A language model with a list of ``layers``, such as Llama's.

    Args:
        backbone: A ``LlamaModel`` or one like it; CLIP's text Transformer has its layers in
            ``encoder``.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, L, D)."""
        prefix = '' if hasattr(self.backbone, 'layers') else 'encoder.'
        return [f'{prefix}layers.{i}' for i in range(self.backbone.config.num_hidden_layers)]

    def direction_paths(self) -> list[str]:
        """None: attention looks everywhere at once."""
        return []

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        config = self.backbone.config
        return [config.hidden_size] * config.num_hidden_layers

    def layer_grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """The grid (1, L) of each layer: ``size`` itself."""
        return [size] * self.backbone.config.num_hidden_layers

    def to_canonical(self, tokens: Any, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Tokens (B, L, D) as they are, and no cls token."""
        return tokens[0] if isinstance(tokens, tuple) else tokens, None


def transformers_layout(backbone: Any) -> ClipVisionLayout | DecoderLayout | None:
    """The layout of a model of transformers, None of any other."""
    if not type(backbone).__module__.startswith('transformers.'):
        return None
    kind = getattr(backbone.config, 'model_type', '')
    if kind == 'clip_vision_model':
        return ClipVisionLayout(backbone)
    if hasattr(backbone, 'layers') or hasattr(getattr(backbone, 'encoder', None), 'layers'):
        return DecoderLayout(backbone)
    return None
