"""Vim: attention into its mixers, or MLPs into its gates, by the layer map."""

from transmamba_mm.models.backbones.vim import Vim
from transmamba_mm.transfer.subcloning.common import (
    CLS_TOKEN,
    HEAD,
    LAYER,
    PATCH,
    POSITIONS,
    READ,
    SCAN,
    TEACHER,
    attention,
    norm,
    patch_embedding,
)
from transmamba_mm.transfer.subcloning.gates import GATES
from transmamba_mm.transfer.subcloning.rules import Keep, Rule, StudentTable

BLOCKS: tuple[Rule, ...] = (
    *GATES,
    *norm('norm', f'{LAYER}.norm', f'{TEACHER}.norm1'),
    *attention('mixer'),
    Keep(f'{LAYER}.mixer.*.x_proj.weight', READ),
    Keep(f'{LAYER}.mixer.*.**', SCAN),
)

TABLE = StudentTable(
    family=Vim,
    layer='blocks.#',
    rules=(
        *patch_embedding(PATCH, PATCH),
        CLS_TOKEN,
        POSITIONS,
        *BLOCKS,
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
    ),
)
