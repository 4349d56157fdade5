"""VideoMamba: as Vim, and images become clips.

The patch embedding reads the middle frame of a tubelet, so that a still picture is cut
into the same patches as by the teacher. An image teacher has no weights for time.
"""

from transmamba_mm.models.backbones.videomamba import VideoMamba
from transmamba_mm.transfer.subcloning.common import (
    CLS_TOKEN,
    HEAD,
    PATCH,
    POSITIONS,
    norm,
    patch_embedding,
)
from transmamba_mm.transfer.subcloning.rules import Axis, Keep, StudentTable
from transmamba_mm.transfer.subcloning.students.vim import BLOCKS

TABLE = StudentTable(
    family=VideoMamba,
    layer='blocks.#',
    rules=(
        *patch_embedding(Axis.FRAMES, PATCH, PATCH),
        CLS_TOKEN,
        POSITIONS,
        Keep('temporal_pos_embed', 'an image teacher has no positions in time'),
        *BLOCKS,
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
    ),
)
