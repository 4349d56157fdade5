"""A text Transformer with its attention swapped: everything from the same place of the teacher.

As of images (see ``attention_swap``). Of heads that share their values (grouped-query attention)
the mixer gets the values of each head; a layer that keeps its attention shares them as before.
"""

from transmamba_mm.models.hf.causal_attention_swap import CausalAttentionSwap
from transmamba_mm.transfer.subcloning.common import (
    HEAD,
    LANGUAGE_HEAD,
    LAYER,
    OTHER,
    READ,
    RES,
    RES_IN,
    SCAN,
    TEACHER,
    attention,
    keys_queries,
    mlp,
    norm,
)
from transmamba_mm.transfer.subcloning.rules import Keep, Same, StudentTable
from transmamba_mm.transfer.subcloning.students.attention_swap import kept_attention, same

TABLE = StudentTable(
    family=CausalAttentionSwap,
    layer='layers.#',
    rules=(
        same('word embeddings', 'token_embed.weight', OTHER, RES),
        same('positions', 'pos_embed', OTHER, OTHER, RES),
        LANGUAGE_HEAD,
        *norm('norm', f'{LAYER}.norm1', f'{TEACHER}.norm1'),
        *attention('mixer', bias=True, optional=True),
        *keys_queries('mixer'),
        Keep(f'{LAYER}.mixer.x_proj.weight', READ),
        Keep(f'{LAYER}.mixer.**', SCAN),
        *kept_attention(),
        same('attention', f'{LAYER}.attn.shared_v.weight', OTHER, RES_IN),
        same('attention', f'{LAYER}.attn.shared_v.bias', OTHER),
        *norm('norm', f'{LAYER}.norm2', f'{TEACHER}.norm2'),
        *mlp('mlp'),
        *norm('final norm', 'norm', 'norm'),
        *HEAD,
        Same('**'),  # what only one family has
    ),
)
