"""A Transformer with Mamba mixers in place of its attention."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from mmcv.cnn.bricks import DropPath
from torch import LongTensor, Tensor, nn

from transmamba_mm.checks import FLAG, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.swapped_transformer import (
    STARTS,
    SwappedMixer,
    SwappedTransformer,
)
from transmamba_mm.models.mixers import BidirectionalMamba
from transmamba_mm.ops import bidirectional_order
from transmamba_mm.ops.shapes import shape_of
from transmamba_mm.pretrained_init import check_pretrained
from transmamba_mm.registry import MODELS

CLIPS = ('frames', 'sequence')


class ImageMixer(SwappedMixer):
    """A bidirectional mixer in the place of an attention module.

    Args:
        mixer (BidirectionalMamba): The mixer.
        attention (nn.Module): What it replaces; its stochastic depth stays.

    Attributes:
        num_frames (int): Frames in one sequence: 1, or those of the clip.
    """

    def __init__(self, mixer: BidirectionalMamba, attention: nn.Module) -> None:
        super().__init__(mixer, attention)
        drops = [child for child in attention.children() if isinstance(child, DropPath)]
        self.drop_path = nn.Sequential(*drops)
        self.num_frames = 1

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Mix tokens (B, L, D); masks, positions and grids of attention have no meaning here."""
        sequence = hidden_states.reshape(-1, self.num_frames * hidden_states.shape[1], self.dims)
        keep = self.tap.watched
        mixed = self.mix(sequence, keep)
        if keep:
            self.tap(mixed)  # (B, K, L, D)
            mixed = mixed.sum(dim=1)
        return self.output(self.drop_path(mixed.view_as(hidden_states)))

    @property
    def dims(self) -> int:
        """Width D."""
        return self.mixer.out_proj.out_features


@MODELS.register_module()
class AttentionSwap(SwappedTransformer):
    """A vision Transformer whose attention, in some or all layers, is a bidirectional Mamba.

    Embeddings, norms and MLPs are the Transformer's, in its order of tokens; each mixer scans that
    order forward and backward, in time linear in its length. With the weights of the Transformer
    (``WeightSubcloning``) everything but the swapped mixers computes exactly what it did, and the
    mixers start from its values and outputs. Related: the students of LoLCATs (arXiv 2410.10254)
    and of mmMamba (arXiv 2502.13145) for language models.

    ::

        AttentionSwap(dict(type='VisionTransformer', arch='deit-tiny'))
        AttentionSwap(dict(type='VisionTransformer', arch='deit-tiny'), layers=[0, 1, 2, 4, 5, 6])

    Args:
        transformer (dict | nn.Module): A vision Transformer that ``layout_of`` has a layout for,
            such as mmpretrain's ``VisionTransformer`` or our ``ClipVision``. Its options (out_type,
            out_indices, img_size, drop_path_rate) are those of this backbone.
        layers (Sequence[int], optional): Layers that are swapped, counted from 0, or from the end;
            the others keep their attention (a hybrid). By default all.
        mixer (dict, optional): Options of :class:`BidirectionalMamba`. By default the inner width
            is the Transformer's (``expand=1``), projections have biases, and the convolution has no
            activation.
        start (str): How mixers start: 'values', see :meth:`BidirectionalMamba.mix_values`, or
            'mamba', as a new Mamba.
        clips (str): What happens to clips (B, C, T, H, W): 'frames', each frame is an image of its
            own; 'sequence', each mixer scans all frames one after another, while the remaining
            attention is per frame. Images are still clips of one frame.
        with_cp (bool): See :meth:`set_grad_checkpointing`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: What the Transformer returns. With ``clips='sequence'`` vectors (B, D) are
        means over the frames, maps are (B, D, T, H, W).

    Raises:
        UserError: A Transformer of text or without a layout; a layer that it does not have; an
            image that patches do not cover.
    """

    mixer_options: ClassVar[dict[str, Any]] = {'expand': 1, **SwappedTransformer.mixer_options}
    mixer_directions = 2

    @checked(start=one_of(*STARTS), clips=one_of(*CLIPS), with_cp=FLAG)
    def __init__(
        self,
        transformer: dict | nn.Module,
        layers: Sequence[int] | None = None,
        mixer: dict | None = None,
        start: str = 'values',
        clips: str = 'frames',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(transformer, layers, mixer, start, init_cfg)
        self.takes_clips = clips == 'sequence'
        self.set_grad_checkpointing(with_cp)

    def make_swap(self, layer: int, attention: Any, options: Mapping[str, Any]) -> ImageMixer:
        """The bidirectional mixer of a layer."""
        return ImageMixer(BidirectionalMamba(self.layer_dims()[layer], **options), attention)

    def init_weights(self) -> None:
        """Initialize the Transformer as its library does, the mixers as Vim's."""
        if not self.is_init:
            check_pretrained(self, f'{type(self).__name__}.init_cfg')
            self.transformer.init_weights()
            self.init_mixers()
        super().init_weights()

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone; mixers name their own."""
        own = getattr(self.transformer, 'no_weight_decay', set)
        return {f'transformer.{name}' for name in own()}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates, and the number of depths."""
        return self.transformer.get_layer_depth(param_name, f'{prefix}transformer.')

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of images (B, C, H, W), or of clips (B, C, T, H, W) as sequences."""
        is_clip = images.dim() == 5
        if is_clip and not self.takes_clips:
            raise UserError(
                'AttentionSwap takes images (B, C, H, W): for clips (B, C, T, H, W) as one '
                "sequence set clips='sequence'."
            )
        self.layout.layer_grids(shape_of(images)[-2:])  # an error if patches do not cover them
        num_frames = images.shape[2] if is_clip else 1
        for swap in self.swaps():
            swap.num_frames = num_frames
        if not is_clip:
            return self.transformer(images)
        outputs = self.transformer(images.transpose(1, 2).flatten(0, 1))
        return tuple(_join_frames(output, num_frames) for output in outputs)

    @property
    def img_size(self) -> tuple[int, int]:
        """(height, width) of images whose positions need no resizing."""
        return self.transformer.img_size

    @property
    def out_indices(self) -> Sequence[int]:
        """Layers whose features are returned; of a family without a choice, the last."""
        return getattr(self.transformer, 'out_indices', (-1,))

    @property
    def num_extra_tokens(self) -> int:
        """Tokens in front of the patches."""
        return self.transformer.num_extra_tokens

    def layer_grids(self, image_size: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Patch grid (H, W) of each layer for (height, width); (T, H, W) for (frames, ...)."""
        *frames, height, width = image_size
        return [(*frames, *grid) for grid in self.layout.layer_grids((height, width))]

    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) of the first layer for an image of (height, width) pixels."""
        return self.layout.layer_grids(image_size)[0]

    @property
    def position_grid(self) -> tuple[int, int] | None:
        """Patch grid (H, W) of the position embeddings."""
        return self.layout.position_grid

    def to_canonical(self, tokens: Any, grid: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into patches in raster order (B, L, D) and cls (B, D) or None.

        Of a clip, grid (T, H, W): the tokens of each frame, (B * T, tokens, D) or (B, T * tokens,
        D), into patches frame by frame (B, T * H * W, D) and the mean cls.
        """
        if len(grid) == 2:
            return self.layout.to_canonical(tokens, grid)
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        num_frames, *frame = grid
        if tokens.shape[1] >= prod(grid):
            tokens = tokens.unflatten(1, (num_frames, -1)).flatten(0, 1)
        patches, cls = self.layout.to_canonical(tokens, tuple(frame))
        patches = patches.unflatten(0, (-1, num_frames)).flatten(1, 2)
        return patches, None if cls is None else cls.unflatten(0, (-1, num_frames)).mean(dim=1)

    def directions(self, grid: tuple[int, ...]) -> LongTensor:
        """Forward and backward raster order, (2, L)."""
        return bidirectional_order(prod(grid))

    def run_mixer(
        self,
        layer: int,
        patches: Tensor,
        cls: Tensor | None,
        grid: tuple[int, int],
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None] | None:
        """What a swapped mixer makes of tokens, cls first; None where attention stayed."""
        if layer not in self.swapped:
            return None
        mixer = self.swaps()[self.swapped.index(layer)].mixer
        tokens = patches if cls is None else torch.cat([cls[:, None], patches], dim=1)
        return self.to_canonical(mixer(tokens), grid)


def _join_frames(output: Any, num_frames: int) -> Any:
    """Features of clips, of those of their frames as one batch."""
    if not isinstance(output, Tensor):
        return tuple(_join_frames(part, num_frames) for part in output)
    frames = output.unflatten(0, (-1, num_frames))
    if output.dim() == 2:
        return frames.mean(dim=1)
    return frames.flatten(1, 2) if output.dim() == 3 else frames.transpose(1, 2)
