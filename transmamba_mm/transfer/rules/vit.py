"""What all tables say about a Vision Transformer of mmpretrain (ViT, DeiT, distilled DeiT)."""

from transmamba_mm.transfer.rules.pieces import LAYER, OTHER, RES, RES_IN, norm
from transmamba_mm.transfer.rules.rule import Axis, Clone

TEACHER_LAYER = 'layers.#'
SIGNATURE = ('backbone.patch_embed.projection.weight', 'backbone.layers.0.attn.qkv.weight')
CLS_TOKENS = ('backbone.cls_token', 'backbone.dist_token')
STREAM = {
    f'{LAYER}.ln1.weight': (RES,),
    f'{LAYER}.attn.qkv.weight': (OTHER, RES_IN),
    f'{LAYER}.attn.proj.weight': (RES, OTHER),
    f'{LAYER}.attn.proj.bias': (RES,),
    f'{LAYER}.ln2.weight': (RES,),
    f'{LAYER}.ffn.layers.0.0.weight': (OTHER, RES_IN),
    f'{LAYER}.ffn.layers.1.weight': (RES, OTHER),
    f'{LAYER}.ffn.layers.1.bias': (RES,),
    'backbone.patch_embed.projection.weight': (RES, OTHER, OTHER, OTHER),
    'backbone.patch_embed.projection.bias': (RES,),
    'backbone.cls_token': (OTHER, OTHER, RES),
    'backbone.dist_token': (OTHER, OTHER, RES),
    'backbone.pos_embed': (OTHER, OTHER, RES),
    'backbone.ln1.weight': (RES,),
    'head.layers.head.weight': (OTHER, RES_IN),
    'head.layers.head_dist.weight': (OTHER, RES_IN),
    'head.fc.weight': (OTHER, RES_IN),
}


def patch_embedding(*kernel: Axis, optional: bool = False) -> tuple[Clone, ...]:
    """Of a student that cuts patches with one convolution, whose kernel has these axes.

    A Swin's has the same names. It is ``optional`` where not every student cuts them so.
    """
    ours, theirs = 'backbone.patch_embed.proj', 'backbone.patch_embed.projection'
    axes = (RES, Axis.IMAGE, *kernel)
    name = 'patch embedding'
    return (
        Clone(name, f'{ours}.weight', (f'{theirs}.weight',), axes, optional=optional),
        Clone(name, f'{ours}.bias', (f'{theirs}.bias',), (RES,), optional=optional),
    )


CLS_TOKEN = Clone(
    'cls token',
    'backbone.cls_token',
    ('backbone.cls_token',),
    (OTHER, Axis.CLS, RES),
    optional=True,
)
POSITIONS = Clone(
    'positions', 'backbone.pos_embed', ('backbone.pos_embed',), (OTHER, Axis.TOKENS, RES)
)
# A teacher that averages its patches may normalize after the average (ln2) instead of before.
FINAL_NORM = norm('final norm', 'backbone.norm', 'backbone.ln1', 'backbone.ln2')
