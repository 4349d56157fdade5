"""Vision Transformers of mmpretrain to our PlainMamba.

Its projections have biases, so value and attention output arrive whole. It has no cls token: what
the teacher keeps in its own stays behind.
"""

from transmamba_mm.transfer.rules.pieces import HEAD, LAYER, attention, image_scan, norm
from transmamba_mm.transfer.rules.rule import Keep, RuleTable
from transmamba_mm.transfer.rules.vit import (
    CLS_TOKENS,
    FINAL_NORM,
    POSITIONS,
    SIGNATURE,
    STREAM,
    TEACHER_LAYER,
)

TABLE = RuleTable(
    student_layer='blocks.#',
    teacher_layer=TEACHER_LAYER,
    rules=(
        Keep(
            'backbone.patch_embed.**',
            'patches come from a stack of convolutions, the Transformer cuts them with one',
        ),
        POSITIONS,
        *norm('norm', f'{LAYER}.norm', f'{LAYER}.ln1'),
        *attention('mixer', 'attn.qkv', 'attn.proj', 'attn.gamma1', bias=True),
        Keep(f'{LAYER}.mixer.direction_B', 'attention knows no directions'),
        *image_scan('mixer'),
        Keep(f'{LAYER}.dw.**', 'the Transformer has no convolution behind its attention'),
        *FINAL_NORM,
        *HEAD,
    ),
    stream=STREAM,
    signature=SIGNATURE,
    cls_tokens=CLS_TOKENS,
)
