"""A Mamba language model: attention into its mixers, token embeddings into token embeddings.

The MLP and the positions of a Transformer have no place in it; a Llama's values are not rotated by
the position embedding. Embeddings and head only fit a student with the same vocabulary.

A mixer that reads B and C from the hidden state (``bc_from='hidden'``) takes query and key, too. In
the reading ``Y = C (M X)`` (TransMamba, arXiv 2502.15130) the query becomes C and the key B. The
student has N states, the teacher one row for each dimension of each head; N rows are kept, in
index order: those of the greatest importance in query and key together, judged as all channels are
(magnitude or stability). Both keep the same rows, so C . B is q . k over them, times 1 / sqrt(N).
A Llama rotates queries and keys by their position before they meet; there is no rotation here. What
is cloned is the score of two tokens at distance 0; position is left to the scan's decay.

Of heads that share keys and values (grouped-query attention) the mixer gets the values of each
head; their keys are refused.
"""

from transmamba_mm.models.hf.mamba_lm import MambaLM
from transmamba_mm.transfer.subcloning.common import (
    HEAD,
    LANGUAGE_HEAD,
    LAYER,
    OTHER,
    READ,
    RES,
    SCAN,
    TEACHER,
    attention,
    keys_queries,
    norm,
)
from transmamba_mm.transfer.subcloning.rules import Clone, Keep, StudentTable

TABLE = StudentTable(
    family=MambaLM,
    layer='backbone.layers.#',
    rules=(
        Clone('word embeddings', 'backbone.embeddings.weight', 'token_embed.weight', (OTHER, RES)),
        LANGUAGE_HEAD,
        *norm('norm', f'{LAYER}.norm', f'{TEACHER}.norm1'),
        *attention('mixer'),
        *keys_queries('mixer'),
        Keep(f'{LAYER}.mixer.x_proj.weight', READ),
        Keep(f'{LAYER}.mixer.**', SCAN),
        *norm('final norm', 'backbone.norm_f', 'norm'),
        *HEAD,
    ),
)
