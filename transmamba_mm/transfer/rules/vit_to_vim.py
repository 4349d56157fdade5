"""Vision Transformers of mmpretrain (ViT, DeiT, distilled DeiT) to our Vim.

Attention moves values between tokens and so does a scan; both read the normalized stream through
one matrix and write to it through another. Those two matrices are what a block can inherit: value
becomes the x half of ``in_proj``, the attention's output becomes ``out_proj``. The gate z has no
counterpart and neither has the scan; the Transformer's MLP has no place in a Vim block.
"""

from torch import Tensor, nn

from transmamba_mm.transfer.rules.rule import Axis, Clone, Keep, RuleTable

RES, RES_IN, INNER, INNER_IN = Axis.RESIDUAL, Axis.RESIDUAL_IN, Axis.INNER, Axis.INNER_IN
PATCH, OTHER = Axis.PATCH, Axis.OTHER
BLOCK, LAYER = 'backbone.blocks.{layer}', 'backbone.layers.{layer}'
SCAN = "the scan keeps Mamba's initialization"


def identity_tap(weight: Tensor) -> None:
    """Identity: tap of the current token 1, others 0."""
    nn.init.zeros_(weight)
    weight[..., -1] = 1.0  # a causal convolution: the last tap is the token itself


def no_bias(bias: Tensor) -> None:
    """Identity: bias 0."""
    nn.init.zeros_(bias)


EMBEDDINGS = (
    Clone(
        'patch embedding',
        'backbone.patch_embed.proj.weight',
        ('backbone.patch_embed.projection.weight',),
        (RES, Axis.IMAGE, PATCH, PATCH),
    ),
    Clone(
        'patch embedding',
        'backbone.patch_embed.proj.bias',
        ('backbone.patch_embed.projection.bias',),
        (RES,),
    ),
    Clone(
        'cls token',
        'backbone.cls_token',
        ('backbone.cls_token',),
        (OTHER, Axis.CLS, RES),
        optional=True,
    ),
    Clone('positions', 'backbone.pos_embed', ('backbone.pos_embed',), (OTHER, Axis.TOKENS, RES)),
)
BLOCKS = (
    Clone('norm', f'{BLOCK}.norm.weight', (f'{LAYER}.ln1.weight',), (RES,)),
    Clone('norm', f'{BLOCK}.norm.bias', (f'{LAYER}.ln1.bias',), (RES,), optional=True),
    Clone(
        'value -> x',
        f'{BLOCK}.mixer.in_proj.weight',
        (f'{LAYER}.attn.qkv.weight',),
        (INNER, RES_IN),
        student_part=(0, 2),
        teacher_part=(2, 3),
    ),
    Clone(
        'attention output -> out_proj',
        f'{BLOCK}.mixer.out_proj.weight',
        (f'{LAYER}.attn.proj.weight',),
        (RES, INNER_IN),
        gain=f'{LAYER}.attn.gamma1.weight',
    ),
    Keep(
        f'{BLOCK}.mixer.*.x_proj.weight',
        'dt, B and C are read from the scanned tokens, not from the stream as key and query are',
    ),
    Keep(f'{BLOCK}.mixer.*.conv.weight', SCAN, mimic=identity_tap),
    Keep(f'{BLOCK}.mixer.*.conv.bias', SCAN, mimic=no_bias),
    Keep(f'{BLOCK}.mixer.*.dt_proj.*', SCAN),
    Keep(f'{BLOCK}.mixer.*.*', SCAN),
)
OUTPUT = (
    # A teacher that averages its patches may normalize after the average (ln2) instead of before.
    Clone(
        'final norm', 'backbone.norm.weight', ('backbone.ln1.weight', 'backbone.ln2.weight'), (RES,)
    ),
    Clone(
        'final norm',
        'backbone.norm.bias',
        ('backbone.ln1.bias', 'backbone.ln2.bias'),
        (RES,),
        optional=True,
    ),
    # Of a distilled DeiT's two heads, the cls token's goes with the cls token.
    Clone(
        'head',
        'head.fc.weight',
        ('head.layers.head.weight', 'head.fc.weight'),
        (Axis.CLASSES, RES_IN),
    ),
    Clone('head', 'head.fc.bias', ('head.layers.head.bias', 'head.fc.bias'), (Axis.CLASSES,)),
)

TABLE = RuleTable(
    rules=EMBEDDINGS + BLOCKS + OUTPUT,
    stream={
        'backbone.patch_embed.projection.weight': (RES, OTHER, OTHER, OTHER),
        'backbone.patch_embed.projection.bias': (RES,),
        'backbone.cls_token': (OTHER, OTHER, RES),
        'backbone.dist_token': (OTHER, OTHER, RES),
        'backbone.pos_embed': (OTHER, OTHER, RES),
        f'{LAYER}.ln1.weight': (RES,),
        f'{LAYER}.attn.qkv.weight': (OTHER, RES_IN),
        f'{LAYER}.attn.proj.weight': (RES, OTHER),
        f'{LAYER}.attn.proj.bias': (RES,),
        f'{LAYER}.ln2.weight': (RES,),
        f'{LAYER}.ffn.layers.0.0.weight': (OTHER, RES_IN),
        f'{LAYER}.ffn.layers.1.weight': (RES, OTHER),
        f'{LAYER}.ffn.layers.1.bias': (RES,),
        'backbone.ln1.weight': (RES,),
        'head.layers.head.weight': (OTHER, RES_IN),
        'head.layers.head_dist.weight': (OTHER, RES_IN),
        'head.fc.weight': (OTHER, RES_IN),
    },
    cls_tokens=('backbone.cls_token', 'backbone.dist_token'),
)
