"""Vision Transformers of mmpretrain (ViT, DeiT, distilled DeiT) to our Vim.

The Transformer's MLP has no place in a Vim block.
"""

from transmamba_mm.transfer.rules.pieces import (
    HEAD,
    LAYER,
    PATCH,
    READ,
    SCAN,
    attention,
    last_tap,
    no_bias,
    norm,
)
from transmamba_mm.transfer.rules.rule import Clone, Keep, RuleTable
from transmamba_mm.transfer.rules.vit import (
    CLS_TOKEN,
    CLS_TOKENS,
    FINAL_NORM,
    POSITIONS,
    SIGNATURE,
    STREAM,
    TEACHER_LAYER,
    patch_embedding,
)

BLOCKS: tuple[Clone | Keep, ...] = (
    *norm('norm', f'{LAYER}.norm', f'{LAYER}.ln1'),
    *attention('mixer', 'attn.qkv', 'attn.proj', 'attn.gamma1'),
    Keep(f'{LAYER}.mixer.*.x_proj.weight', READ),
    Keep(f'{LAYER}.mixer.*.conv.weight', SCAN, mimic=last_tap),
    Keep(f'{LAYER}.mixer.*.conv.bias', SCAN, mimic=no_bias),
    Keep(f'{LAYER}.mixer.*.**', SCAN),
)

TABLE = RuleTable(
    student_layer='blocks.#',
    teacher_layer=TEACHER_LAYER,
    rules=(*patch_embedding(PATCH, PATCH), CLS_TOKEN, POSITIONS, *BLOCKS, *FINAL_NORM, *HEAD),
    stream=STREAM,
    signature=SIGNATURE,
    cls_tokens=CLS_TOKENS,
)
