"""Swin Transformers of mmpretrain to our VMamba: hierarchical to hierarchical.

Meant for ``layer_map='stages'``. Windows have no counterpart: a scan sees the whole image. Swin V2
normalizes behind its branches instead of before them and is another family.
"""

from transmamba_mm.transfer.rules.pieces import (
    HEAD,
    LAYER,
    OTHER,
    PATCH,
    RES,
    RES_IN,
    attention,
    mlp,
    norm,
)
from transmamba_mm.transfer.rules.rule import RuleTable
from transmamba_mm.transfer.rules.vit import patch_embedding
from transmamba_mm.transfer.rules.vmamba import GRIDS, SCAN, STUDENT_LAYER

PATCH_NORMS = ('backbone.patch_embed.norm', 'backbone.patch_embed.norm')  # ours, theirs
# mmpretrain numbers the norms of the stages that are given out; the last one is before the head.
FINAL_NORMS = ('backbone.norm3', 'backbone.norm2', 'backbone.norm1', 'backbone.norm0')

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer='stages.#.blocks.#',
    rules=(
        *patch_embedding(PATCH, PATCH, optional=True),
        *norm('patch norm', *PATCH_NORMS, optional=True),
        *GRIDS,
        *norm('norm', f'{LAYER}.norm1', f'{LAYER}.norm1'),
        *attention('ss2d', 'attn.w_msa.qkv', 'attn.w_msa.proj'),
        *SCAN,
        *norm('norm', f'{LAYER}.norm2', f'{LAYER}.norm2', optional=True),
        *mlp('mlp', ('ffn.layers.0.0', 'ffn.layers.1')),
        *norm('final norm', 'backbone.norm', *FINAL_NORMS),
        *HEAD,
    ),
    stream={
        f'{LAYER}.norm1.weight': (RES,),
        f'{LAYER}.attn.w_msa.qkv.weight': (OTHER, RES_IN),
        f'{LAYER}.attn.w_msa.proj.weight': (RES, OTHER),
        f'{LAYER}.attn.w_msa.proj.bias': (RES,),
        f'{LAYER}.norm2.weight': (RES,),
        f'{LAYER}.ffn.layers.0.0.weight': (OTHER, RES_IN),
        f'{LAYER}.ffn.layers.1.weight': (RES, OTHER),
        f'{LAYER}.ffn.layers.1.bias': (RES,),
        'backbone.patch_embed.projection.weight': (RES, OTHER, OTHER, OTHER),
        'backbone.patch_embed.projection.bias': (RES,),
        'backbone.patch_embed.norm.weight': (RES,),
        'backbone.stages.*.downsample.reduction.weight': (RES, OTHER),
        'backbone.norm*.weight': (RES,),
        'head.fc.weight': (OTHER, RES_IN),
    },
    signature=('backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table',),
)
