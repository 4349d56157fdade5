"""Vision Transformers of mmpretrain to our VMamba: a flat teacher for a hierarchical student.

Every stage has its own width and takes as many of the teacher's channels, the most important ones
first, so that what a narrow stage has a wide stage has too. The teacher has one grid: its positions
have no place in a student without position embeddings, nor has its cls token.
"""

from transmamba_mm.transfer.rules.pieces import HEAD, LAYER, PATCH, attention, mlp, norm
from transmamba_mm.transfer.rules.rule import RuleTable
from transmamba_mm.transfer.rules.vit import (
    CLS_TOKENS,
    FINAL_NORM,
    SIGNATURE,
    STREAM,
    TEACHER_LAYER,
    patch_embedding,
)
from transmamba_mm.transfer.rules.vmamba import GRIDS, SCAN, STUDENT_LAYER

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer=TEACHER_LAYER,
    rules=(
        *patch_embedding(PATCH, PATCH, optional=True),
        *GRIDS,
        *norm('norm', f'{LAYER}.norm1', f'{LAYER}.ln1'),
        *attention('ss2d', 'attn.qkv', 'attn.proj', 'attn.gamma1'),
        *SCAN,
        *norm('norm', f'{LAYER}.norm2', f'{LAYER}.ln2', optional=True),
        *mlp('mlp', ('ffn.layers.0.0', 'ffn.layers.1'), 'ffn.gamma2'),
        *FINAL_NORM,
        *HEAD,
    ),
    stream=STREAM,
    signature=SIGNATURE,
    cls_tokens=CLS_TOKENS,
)
