"""PlainMamba: attention into its mixers, or MLPs into its gates, by the layer map.

Its projections have biases, so value, attention output and the biases of an MLP arrive whole. It
has no cls token: the teacher's stays behind.
"""

from transmamba_mm.models.backbones.plainmamba import PlainMamba
from transmamba_mm.transfer.subcloning.common import (
    HEAD,
    LAYER,
    POSITIONS,
    TEACHER,
    attention,
    image_scan,
    norm,
)
from transmamba_mm.transfer.subcloning.gates import GATES
from transmamba_mm.transfer.subcloning.rules import Keep, StudentTable

TABLE = StudentTable(
    family=PlainMamba,
    layer='blocks.#',
    rules=(
        Keep(
            'patch_embed.**',
            'patches come from a stack of convolutions, the Transformer cuts them with one',
        ),
        POSITIONS,
        *GATES,
        *norm('norm', f'{LAYER}.norm', f'{TEACHER}.norm1'),
        *attention('mixer', bias=True),
        Keep(f'{LAYER}.mixer.direction_B', 'attention has no directions'),
        *image_scan('mixer'),
        Keep(f'{LAYER}.dw.**', 'the Transformer has no convolution behind its attention'),
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
    ),
)
