"""The base class of student backbones."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import LongTensor, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transmamba_mm.checks import (
    COUNT,
    DEPTH,
    FLAG,
    FRACTION,
    INDEX,
    INTEGER,
    NOT_NEGATIVE,
    POSITIVE,
    Each,
    Number,
    Rule,
    check,
    one_of,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.canonical_map import CanonicalMap
from transmamba_mm.models.layouts import FeatureSource, TokenLayout
from transmamba_mm.pretrained_init import check_pretrained
from transmamba_mm.transfer_checkpoint import take_student

#: Of the keys that archs have in common; stages have a width and a depth each.
ARCH_RULES: dict[str, Rule] = {
    'embed_dims': Each(COUNT),
    'depths': Each(DEPTH, alone=False),
    'num_layers': DEPTH,
    'state_dims': COUNT,
    'stem_dims': COUNT,
    'stem_convs': INDEX,
    'ssm_ratio': POSITIVE,
    'mlp_ratio': NOT_NEGATIVE,
    'dwconv_layers': Each(INDEX, alone=False, may_be_empty=True),
    'gate': FLAG,
    'conv_bias': FLAG,
}
OUT_TYPES = ('cls_token', 'avg_featmap', 'featmap', 'raw')
#: Of the arguments that every student has.
STUDENT_RULES: dict[str, Rule] = {
    'patch_size': COUNT,
    'in_channels': COUNT,
    'dt_rank': COUNT,
    'conv_width': COUNT,
    'drop_path_rate': FRACTION,
    'out_type': one_of(*OUT_TYPES),
    'frozen_stages': INTEGER,
    'norm_eval': FLAG,
    'with_cp': FLAG,
}

EMBEDDINGS = ('patch_embed', 'cls_token', 'pos_embed', 'temporal_pos_embed')


class TokenBackbone(BaseBackbone, TokenLayout):
    """A backbone of tokens with a known scan order.

    It is independent of teachers. It adds to mmpretrain's contract the *canonical order* (patches
    in raster order, cls apart) in which any two models compare.

    Paths are relative to the backbone. Subclasses hold their residual blocks, each a
    :class:`~transmamba_mm.models.backbones.token_block.TokenBlock`, in ``blocks``.
    """

    embed_dims: int
    num_layers: int
    #: (height, width) that the positions are made for.
    img_size: tuple[int, int]
    out_type: str
    frozen_stages = -1
    norm_eval = False
    #: What mmpretrain's classifier around the backbone calls before it loads a state dict.
    _checkpoint_filter = staticmethod(take_student)

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``; UserError for pre-trained weights of another model."""
        if not self.is_init:
            check_pretrained(self, f'{type(self).__name__}.init_cfg')
        super().init_weights()

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'blocks.{i}' for i in range(self.num_layers)]

    def direction_paths(self) -> list[str]:
        """Modules, one per layer, whose output is the direction feature (B, K, tokens, D).

        They run only while somebody hooks them.
        """
        return [f'{path}.tap' for path in self.layer_paths()]

    def mixer_paths(self) -> list[str]:
        """The scan of each layer, with its projections."""
        return [f'{path}.mixer' for path in self.layer_paths()]

    def mixer_outputs(self) -> list[FeatureSource]:
        """Each mixer's output to the residual stream: patches (B, L, D), cls (B, D) or None."""
        return [FeatureSource(path, self._merge_directions) for path in self.mixer_paths()]

    def _merge_directions(self, mixed: Tensor, grid: tuple) -> tuple[Tensor, Tensor | None]:
        """Tokens of a mixer that kept its directions apart, (B, K, tokens, D), or did not."""
        is_map = mixed.shape[1:-1] == tuple(grid)
        return self.to_canonical(mixed.sum(1) if mixed.dim() == 4 and not is_map else mixed, grid)

    @property
    def num_directions(self) -> int:
        """Scan directions K of each layer."""
        return len(self.directions((2, 2)))

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [self.embed_dims] * self.num_layers

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        return [self.patch_grid(image_size)] * self.num_layers

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone, as timm names them: positions and tokens.

        Mixers name their own, relative to themselves.
        """
        return {name for name, _ in self.named_parameters(recurse=False)}

    def finish_construction(self, frozen_stages: int, norm_eval: bool, with_cp: bool) -> None:
        """End every student's constructor: ``cam``, and the options of its training.

        Args:
            frozen_stages (int): As in mmpretrain's ViT: the embeddings, positions and the first
                ``frozen_stages`` layers are not trained and stay in evaluation mode; all of them
                take the final norm along. -1 or 0: nothing is frozen.
            norm_eval (bool): Keep batch norms in evaluation mode during training.
            with_cp (bool): See :meth:`set_grad_checkpointing`.

        Raises:
            UserError: More stages than there are.
        """
        most = Number(-1, self.max_frozen_stages, whole=True)
        check(type(self).__name__, 'frozen_stages', frozen_stages, most)
        self.cam = CanonicalMap()  # the last norm there is
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        for part in self.frozen_parts():
            part.requires_grad_(False)
        self.set_grad_checkpointing(with_cp)
        self.train(self.training)

    @property
    def max_frozen_stages(self) -> int:
        """The greatest ``frozen_stages``."""
        return self.num_layers

    def frozen_parts(self) -> list[nn.Module | nn.Parameter]:
        """Modules and parameters that ``frozen_stages`` freezes."""
        if self.frozen_stages < 1:
            return []
        parts = [getattr(self, name) for name in EMBEDDINGS if hasattr(self, name)]
        parts += [self.get_submodule(path) for path in self.layer_paths()[: self.frozen_stages]]
        return [*parts, self.norm] if self.frozen_stages == self.num_layers else parts

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass, or stop doing so; by timm's name.

        It saves memory and costs time; gradients, those of recorded features too, stay the same.
        """
        for path in self.layer_paths():
            self.get_submodule(path).with_cp = enable

    def train(self, mode: bool = True) -> 'TokenBackbone':
        """Set the mode and return self; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
        for module in self.modules() if self.norm_eval else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates, and the number of depths.

        The embeddings are depth 0, layer i is i + 1, everything behind them is the last.
        """
        num_depths = self.num_layers + 2
        name = param_name.removeprefix(prefix)
        if param_name.startswith(prefix):
            for layer, path in enumerate(self.layer_paths()):
                if name.startswith(f'{path}.'):
                    return layer + 1, num_depths
            if name.startswith(EMBEDDINGS):
                return 0, num_depths
        return num_depths - 1, num_depths

    @abstractmethod
    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) right after the patch embedding; UserError if it would be empty."""

    @abstractmethod
    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """Traversals (K, L) of the L = H * W canonical patches of ``grid``; each a permutation."""

    @property
    def num_outputs(self) -> int:
        """Number of features that ``out_indices`` chooses from: layers by default."""
        return self.num_layers

    def resolve_indices(self, out_indices: int | Sequence[int]) -> list[int]:
        """Outputs, counted from 0, of ``out_indices``, which may count from the end."""
        given = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        there = Number(-self.num_outputs, self.num_outputs - 1, whole=True)
        check(
            type(self).__name__, 'out_indices', given, Each(there, alone=False, may_be_empty=True)
        )
        return [index % self.num_outputs for index in given]

    def through_cam(self, x: Tensor, grid: tuple[int, ...], output: int) -> Tensor:
        """Let the stream ``x`` on ``grid`` go through ``cam`` if that is hooked, else return it.

        Args:
            x (Tensor): (B, tokens, D), or a map (B, H, W, D).
            grid (tuple[int, ...]): Of its patches.
            output (int): Index of its output; the last one read is shown.
        """
        if not self.cam.watched or output != max(self.out_indices):
            return x
        tokens = x.flatten(1, -2)  # (B, tokens, D)
        places = torch.arange(tokens.shape[1], device=x.device, dtype=torch.float)
        order = self.to_canonical(places[None, :, None], grid)[0].flatten().long()
        patches = self.cam(tokens[:, order].transpose(1, 2).unflatten(2, grid))
        return tokens.index_copy(1, order, patches.flatten(2).transpose(1, 2)).view_as(x)

    def format_output(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Convert the feature ``tokens`` of a layer to ``out_type``."""
        if self.out_type == 'raw':
            return tokens
        patches, cls = self.to_canonical(tokens, grid)
        if self.out_type == 'cls_token':
            return cls
        if self.out_type == 'avg_featmap':
            return patches.mean(dim=1)
        return patches.transpose(1, 2).unflatten(2, grid)  # (B, D, H, W)


def resolve_arch(arch: str | dict, archs: Mapping[str, dict]) -> dict:
    """The entry of ``archs`` named ``arch``, or ``arch`` itself if it has the same keys."""
    if not isinstance(arch, Mapping):
        check('the backbone', 'arch', arch, one_of(*archs))
        return archs[arch]
    wanted = set(next(iter(archs.values())))
    if set(arch) != wanted:
        raise UserError(f'An arch needs the keys {sorted(wanted)}; got {sorted(arch)}.')
    for key, value in arch.items():
        if key in ARCH_RULES:
            check('the arch', key, value, ARCH_RULES[key])
    return arch
