"""Checkpoints of torchvision: vit_b_16 and its relatives, swin_t and its relatives (V1)."""

from collections.abc import Mapping

from torch import Tensor

from transmamba_mm.convert.teachers.pretrained import ImageSettings, PretrainedClassifier, count
from transmamba_mm.convert.teachers.swin import build_swin
from transmamba_mm.convert.teachers.timm import BUFFERS
from transmamba_mm.convert.teachers.vit import ViT, build_vit
from transmamba_mm.key_map import KeyMap

HINT = 'ViT and Swin (V1) are read; other architectures are not.'
LAYER, OURS = 'encoder.layers.encoder_layer_#', 'layers.#'
VIT = KeyMap(
    {
        'conv_proj': 'patch_embed.projection',
        'class_token': 'cls_token',
        'encoder.pos_embedding': 'pos_embed',
        f'{LAYER}.ln_1': f'{OURS}.ln1',
        f'{LAYER}.self_attention.in_proj_weight': f'{OURS}.attn.qkv.weight',
        f'{LAYER}.self_attention.in_proj_bias': f'{OURS}.attn.qkv.bias',
        f'{LAYER}.self_attention.out_proj': f'{OURS}.attn.proj',
        f'{LAYER}.ln_2': f'{OURS}.ln2',
        f'{LAYER}.mlp.0': f'{OURS}.ffn.layers.0.0',
        f'{LAYER}.mlp.3': f'{OURS}.ffn.layers.1',
        f'{LAYER}.mlp.linear_1': f'{OURS}.ffn.layers.0.0',  # before version 0.14
        f'{LAYER}.mlp.linear_2': f'{OURS}.ffn.layers.1',
        'encoder.ln': 'ln1',
        'heads.head': 'head',
    }
)
BLOCK = {
    'norm1': 'norm1',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    'attn.relative_position_bias_table': 'attn.w_msa.relative_position_bias_table',
    'norm2': 'norm2',
    'mlp.0': 'ffn.layers.0.0',
    'mlp.3': 'ffn.layers.1',
}


def is_torchvision(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys are torchvision's."""
    return 'conv_proj.weight' in state or 'features.1.0.attn.qkv.weight' in state


def read_torchvision(state: Mapping[str, Tensor], source: str) -> PretrainedClassifier:
    """A classifier from torchvision's weights, with the images of its own ImageNet weights.

    Raises:
        UserError: Keys of another architecture, weights that are missing.
    """
    kept = {key: value for key, value in state.items() if not key.endswith(BUFFERS)}
    if 'conv_proj.weight' in kept:
        weights = VIT.rename_all(kept, "torchvision's ViT", HINT)
        model, weights, size = build_vit(weights, ViT())
        settings = ImageSettings(interpolation='bilinear')
        return PretrainedClassifier(model, weights, 'torchvision', source, size, settings)
    weights = _swin_names(count(kept, 'features.')).rename_all(kept, "torchvision's Swin", HINT)
    return PretrainedClassifier(*build_swin(weights)[:2], 'torchvision', source, (224, 224))


def _swin_names(num_parts: int) -> KeyMap:
    """Patches, then blocks and reductions in turn, are one sequence."""
    names = {
        'features.0.0': 'patch_embed.projection',
        'features.0.2': 'patch_embed.norm',
        'norm': 'norm',
        'head': 'head',
    }
    for part in range(1, num_parts):
        stage = (part - 1) // 2
        if part % 2:
            for old, new in BLOCK.items():
                names[f'features.{part}.#.{old}'] = f'stages.{stage}.blocks.#.{new}'
        else:
            for name in ('norm', 'reduction'):
                names[f'features.{part}.{name}'] = f'stages.{stage}.downsample.{name}'
    return KeyMap(names)
