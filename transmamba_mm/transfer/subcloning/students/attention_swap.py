"""A Transformer with its attention swapped: everything from the same place of the teacher.

Both sides have canonical names. A mixer as wide as attention (``expand=1``, the default) reads the
values and writes the outputs of attention, whole.
"""

from dataclasses import replace

from transmamba_mm.models.backbones.attention_swap import AttentionSwap
from transmamba_mm.transfer.subcloning.common import (
    CLS_TOKEN,
    HEAD,
    LAYER,
    OTHER,
    PATCH,
    POSITIONS,
    READ,
    RES,
    RES_IN,
    SCAN,
    TEACHER,
    attention,
    mlp,
    norm,
)
from transmamba_mm.transfer.subcloning.rules import Axis, Clone, Keep, Rule, Same, StudentTable


def same(name: str, key: str, *axes: Axis) -> Clone:
    """Parameters with the same name in student and teacher."""
    teacher = key.replace(LAYER, TEACHER)
    return Clone(name, key, teacher, axes, optional=True)


def kept_attention() -> tuple[Rule, ...]:
    """Attention of the layers that keep it; its heads are not cut."""
    rules = []
    for part in 'qkv':
        rules.append(same('attention', f'{LAYER}.attn.{part}.weight', OTHER, RES_IN))
        rules.append(same('attention', f'{LAYER}.attn.{part}.bias', OTHER))
    rules.append(same('attention', f'{LAYER}.attn.out.weight', RES, OTHER))
    rules.append(same('attention', f'{LAYER}.attn.out.bias', RES))
    return tuple(rules)


TABLE = StudentTable(
    family=AttentionSwap,
    layer='layers.#',
    rules=(
        same('patch embedding', 'patch_embed.weight', RES, Axis.IMAGE, PATCH, PATCH),
        same('patch embedding', 'patch_embed.bias', RES),
        *norm('patch norm', 'patch_norm', 'patch_norm', optional=True),
        CLS_TOKEN,
        same('distillation token', 'dist_token', OTHER, OTHER, RES),
        replace(POSITIONS, optional=True),
        *norm('norm before the layers', 'pre_norm', 'pre_norm', optional=True),
        *norm('norm', f'{LAYER}.norm1', f'{TEACHER}.norm1'),
        *attention('mixer', bias=True, optional=True),
        Keep(f'{LAYER}.mixer.*.x_proj.weight', READ),
        Keep(f'{LAYER}.mixer.*.**', SCAN),
        *kept_attention(),
        *norm('norm', f'{LAYER}.norm2', f'{TEACHER}.norm2'),
        *mlp('mlp'),
        same('layer scale', f'{LAYER}.scale1', RES),
        same('layer scale', f'{LAYER}.scale2', RES),
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
        Same('**'),  # what only one family has, such as relative positions
    ),
)
