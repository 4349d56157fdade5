"""VMamba: attention into its mixers, MLP into MLP.

From a flat teacher every stage takes as many channels as it is wide, the most important ones first,
so a wide stage has all that a narrow one has. From a hierarchical teacher (``layer_map='stages'``)
stage follows stage. Position embeddings and a cls token have no place in it; windows have no
counterpart.
"""

from transmamba_mm.models.backbones.vmamba import VMamba
from transmamba_mm.transfer.subcloning.common import (
    HEAD,
    LAYER,
    PATCH,
    TEACHER,
    attention,
    image_scan,
    mlp,
    norm,
    patch_embedding,
)
from transmamba_mm.transfer.subcloning.rules import Keep, StudentTable

NO_NORM = 'the Transformer has no norm on its patches'

TABLE = StudentTable(
    family=VMamba,
    layer='stages.#.blocks.#',
    rules=(
        *patch_embedding(PATCH, PATCH, optional=True),
        *norm('patch norm', 'patch_embed.norm', 'patch_norm', optional=True, otherwise=NO_NORM),
        Keep('patch_embed.**', 'two convolutions cut the patches, the Transformer has one'),
        Keep('stages.*.downsample.**', 'the Transformer does not halve its grid this way'),
        Keep('out_norms.**', 'a detector reads through it, the Transformer classifies'),
        *norm('norm', f'{LAYER}.norm1', f'{TEACHER}.norm1'),
        *attention('ss2d'),
        Keep(f'{LAYER}.ss2d.norm.*', 'attention has no norm between values and output'),
        *image_scan('ss2d'),
        *norm('norm', f'{LAYER}.norm2', f'{TEACHER}.norm2', optional=True),
        *mlp('mlp'),
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
    ),
)
