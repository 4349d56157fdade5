"""CLIP's vision Transformer as a backbone, to keep a teacher's vision encoder."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from transmamba_mm.checks import FLAG, Number, check, checked, one_of
from transmamba_mm.models.backbones.load_positions import fit_positions
from transmamba_mm.models.layouts import FeatureSource, MLPPaths, TokenLayout
from transmamba_mm.models.layouts.clip import ClipVisionLayout
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class ClipVision(BaseModule, TokenLayout):
    """Transformers' ``CLIPVisionModel`` (arXiv 2103.00020), handing out its patches or its cls.

    Args:
        config (dict, optional): Of a new model: the keys of ``CLIPVisionConfig``.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub (``openai/clip-vit-large-patch14-336``), of a whole CLIP too; read without running
            code.
        layer (int): Whose output is handed out, as in a list: -1 is the last, -2 the one before it,
            which LLaVA reads. Later layers do not exist.
        out_type (str): 'featmap' (B, D, H, W), or normalized as CLIP does before its projection
            'cls_token' (B, D), or the mean patch, 'avg_featmap' (B, D).
        frozen (bool): Neither trained nor, in training, different from evaluation.
        dtype (str | torch.dtype, optional): By default float32.
        weights (bool): False: of ``checkpoint`` only the architecture is read; the weights are
            about to be loaded from elsewhere.
        with_cp (bool): Recompute every block in the backward pass of a training, instead of
            keeping what it computes inside.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; a layer that it does not have; a
            checkpoint that is missing or of another architecture.
    """

    @checked(out_type=one_of('featmap', 'cls_token', 'avg_featmap'), frozen=FLAG, weights=FLAG)
    def __init__(
        self,
        config: dict | None = None,
        checkpoint: str | Path | None = None,
        layer: int = -1,
        out_type: str = 'featmap',
        frozen: bool = False,
        dtype: str | torch.dtype | None = 'float32',
        weights: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model: Any = _build(config, checkpoint, dtype, weights)
        self.out_type = out_type
        depth = self.model.config.num_hidden_layers
        check('ClipVision', 'layer', layer, Number(-depth, depth - 1, whole=True))
        kept = layer % depth + 1
        self.core.encoder.layers = self.core.encoder.layers[:kept]
        self.model.config.num_hidden_layers = kept
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
            self.eval()
        if checkpoint is not None:
            self.is_init = True  # or init_weights would reinitialize it
        side = self.model.config.image_size
        self.img_size = (side, side)
        self.embed_dims = self.model.config.hidden_size
        self.layout = ClipVisionLayout(self.model)
        self.register_load_state_dict_pre_hook(type(self).fit_positions)
        if with_cp:
            self.set_grad_checkpointing()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass, or stop doing so; by timm's name."""
        for block in self.core.encoder.layers:
            block.gradient_checkpointing = enable
            block._gradient_checkpointing_func = partial(recompute, use_reentrant=False)

    def fit_positions(self, state_dict: dict[str, Tensor], prefix: str = '', *_) -> None:
        """Resize the positions of another image size in a state dict that is about to be loaded."""
        own = self.core.embeddings.position_embedding.weight
        (name,) = (name for name, parameter in self.named_parameters() if parameter is own)
        key = prefix + name
        if key in state_dict and state_dict[key].dim() == 2:
            grid = self.layout.layer_grids(self.img_size)[-1]
            positions = {key: state_dict[key][None]}
            fit_positions(positions, key, own[None], grid, lambda _: [0])
            state_dict[key] = positions[key][0]

    @property
    def core(self) -> Any:
        """The Transformer itself, which some versions of transformers wrap once more."""
        return getattr(self.model, 'vision_model', self.model)

    def train(self, mode: bool = True) -> 'ClipVision':
        """Set the mode; a frozen one stays in evaluation."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Feature map (B, D, H / patch, W / patch), or (B, D), of images (B, C, H, W)."""
        height, width = self.layout.layer_grids(images.shape[-2:])[-1]
        hidden = self.core.embeddings(
            images.to(self.model.dtype), interpolate_pos_encoding=images.shape[-2:] != self.img_size
        )
        hidden = self.core.pre_layrnorm(hidden)
        for block in self.core.encoder.layers:
            hidden = block(hidden, attention_mask=None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        if self.out_type != 'featmap':
            vector = hidden[:, 0] if self.out_type == 'cls_token' else hidden[:, 1:].mean(1)
            return (self.core.post_layernorm(vector).to(images.dtype),)
        patches = hidden[:, 1:].transpose(1, 2).unflatten(2, (height, width))
        return (patches.to(images.dtype),)

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'model.{path}' for path in self.layout.layer_paths()]

    def mixer_paths(self) -> list[str]:
        """Attention of each layer."""
        return [f'model.{path}' for path in self.layout.mixer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around the MLP of each layer."""
        return [paths.below('model') for paths in self.layout.mlp_paths()]

    @property
    def mlp_activation(self) -> str | None:
        """Name of the MLPs' activation."""
        return self.layout.mlp_activation

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities (B, heads, tokens, tokens), computed again from the input."""
        return [source.below('model') for source in self.layout.attention_maps()]

    def key_dims(self) -> list[int]:
        """Width of the keys of each layer."""
        return self.layout.key_dims()

    def keys_queries(self) -> list[FeatureSource]:
        """Keys and queries of each layer, computed again from the input."""
        return [source.below('model') for source in self.layout.keys_queries()]

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return self.layout.layer_dims()

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        return self.layout.layer_grids(image_size)

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Split (B, 1 + L, D) into patches in raster order (B, L, D) and cls (B, D)."""
        return self.layout.to_canonical(tokens, grid)

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names; the patch embedding gets a bias of zeros."""
        bare = {key.removeprefix('model.'): value for key, value in state.items()}
        return self.layout.canonical_weights(bare)


def _build(config: dict | None, checkpoint: str | Path | None, dtype: Any, weights: bool) -> Any:
    from transformers import CLIPModel, CLIPVisionModel

    from transmamba_mm.models.hf.model_source import CLIP, ModelSource

    kinds = {'clip_vision_model': CLIPVisionModel, 'clip': CLIPModel}
    model = ModelSource('ClipVision', kinds, config, checkpoint, **CLIP).build(dtype, weights)
    return model.vision_model if model.config.model_type == 'clip' else model
