"""What all tables say about our VMamba, whatever the teacher."""

from transmamba_mm.transfer.rules.pieces import LAYER, image_scan
from transmamba_mm.transfer.rules.rule import Keep

STUDENT_LAYER = 'stages.#.blocks.#'
SCAN = (
    Keep(f'{LAYER}.ss2d.norm.*', 'attention has no norm between values and output'),
    *image_scan('ss2d'),
)
GRIDS = (
    Keep('backbone.patch_embed.norm.*', 'the Transformer has no norm on its patches'),
    Keep('backbone.patch_embed.**', 'two convolutions cut the patches, the Transformer has one'),
    Keep('backbone.stages.*.downsample.**', 'the Transformer does not halve its grid this way'),
    Keep('backbone.out_norms.**', 'a detector reads through it, the Transformer classifies'),
)
