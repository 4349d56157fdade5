"""Vision Transformers of mmpretrain to our VideoMamba: as to Vim, and images become clips.

The patch embedding looks at the frame in the middle of a tubelet, so that a still picture is cut
into the same patches as by the teacher. An image teacher knows nothing about time.
"""

from dataclasses import replace

from transmamba_mm.transfer.rules.pieces import HEAD, PATCH
from transmamba_mm.transfer.rules.rule import Axis, Keep
from transmamba_mm.transfer.rules.vit import CLS_TOKEN, FINAL_NORM, POSITIONS, patch_embedding
from transmamba_mm.transfer.rules.vit_to_vim import BLOCKS
from transmamba_mm.transfer.rules.vit_to_vim import TABLE as VIM

TABLE = replace(
    VIM,
    rules=(
        *patch_embedding(Axis.FRAMES, PATCH, PATCH),
        CLS_TOKEN,
        POSITIONS,
        Keep('backbone.temporal_pos_embed', 'an image teacher has no positions in time'),
        *BLOCKS,
        *FINAL_NORM,
        *HEAD,
    ),
)
