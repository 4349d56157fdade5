"""The common language of student and teacher backbones, for teachers that do not speak it."""

from typing import Any

from mmpretrain.models.backbones import SwinTransformer, SwinTransformerV2, VisionTransformer
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.teachers.swin_layout import SwinLayout
from transmamba_mm.models.teachers.transformers_layout import transformers_layout

#: What a transfer asks of a backbone; a ``TokenBackbone`` has all of it and its directions.
FACE = ('layer_paths', 'layer_dims', 'layer_grids', 'to_canonical')


class VisionTransformerLayout:
    """The face of a ``TokenBackbone`` on mmpretrain's ``VisionTransformer`` and its relatives.

    The extra tokens (cls, and the distillation token of a distilled DeiT) stand in front of the
    patches; a Transformer has no scan directions.

    Args:
        backbone (VisionTransformer): With or without a cls token.
    """

    def __init__(self, backbone: VisionTransformer) -> None:
        self.backbone = backbone

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'layers.{i}' for i in range(self.backbone.num_layers)]

    def direction_paths(self) -> list[str]:
        """None: attention looks everywhere at once."""
        return []

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [self.backbone.embed_dims] * self.backbone.num_layers

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        return [self.patch_grid(image_size)] * self.backbone.num_layers

    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) of an image of ``image_size`` (height, width) pixels.

        Raises:
            UserError: Patches do not cover the image; mmpretrain would pad it without a word, and
                its patches would not lie where the student's do.
        """
        conv = self.backbone.patch_embed.projection
        grid = []
        for side, kernel, stride, padding in zip(
            image_size, conv.kernel_size, conv.stride, conv.padding, strict=True
        ):
            steps, rest = divmod(side + 2 * padding - kernel, stride)
            if steps < 0 or rest:
                fits = kernel - 2 * padding + max(steps, 0) * stride
                raise UserError(
                    f'The {type(self.backbone).__name__} teacher cannot cut an image of '
                    f'{image_size[0]}x{image_size[1]} pixels into patches of {kernel} at stride '
                    f'{stride}: set img_size of the teacher to a side of {fits} or {fits + stride} '
                    'pixels; it is resized for the teacher alone.'
                )
            grid.append(steps + 1)
        return grid[0], grid[1]

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into patches in raster order (B, L, D) and cls (B, D) or None."""
        extra = self.backbone.num_extra_tokens
        return tokens[:, extra:], tokens[:, 0] if extra else None


def token_layout(backbone: Any) -> Any:
    """Return a view of ``backbone`` with the face of a ``TokenBackbone``.

    That is the backbone itself where it has ``layer_paths``, ``layer_dims``, ``layer_grids`` and
    ``to_canonical``, and an adapter for mmpretrain's Vision Transformers and Swin Transformers and
    for transformers' CLIP vision models and language models.

    Raises:
        UserError: Any other backbone; the message names the methods that are missing.
    """
    missing = [name for name in FACE if not hasattr(backbone, name)]
    if not missing:
        return backbone
    if isinstance(backbone, VisionTransformer):
        return VisionTransformerLayout(backbone)
    if isinstance(backbone, SwinTransformer | SwinTransformerV2):
        return SwinLayout(backbone)
    if (layout := transformers_layout(backbone)) is not None:
        return layout
    raise UserError(
        f'{type(backbone).__name__} cannot take part in a transfer: it has no '
        f'{", ".join(missing)}. Use a VisionTransformer or SwinTransformer of mmpretrain or one of '
        'our backbones, or give the class these methods (see '
        'transmamba_mm.models.backbones.TokenBackbone).'
    )
