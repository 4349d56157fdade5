"""Llama to a language Mamba that reads B and C from the hidden state (``bc_from='hidden'``).

In the reading ``Y = C (M X)`` (TransMamba, arXiv 2502.15130) the query becomes C and the key B. The
student has N states, the teacher one row for each dimension of each head, N of which are kept, in
index order: those of the greatest importance in query and key together, judged as all channels are
(magnitude or stability). Both keep the same rows, so C · B is q · k over them, times 1 / sqrt(N).

The teacher rotates queries and keys by their position before they meet; there is no rotation here.
What is cloned is the score of two words at distance 0; position is left to the scan's decay.

Heads that share keys (grouped-query attention) are refused.
"""

from transmamba_mm.transfer.rules.llama import (
    KEPT,
    SIGNATURE,
    STREAM,
    STUDENT_LAYER,
    TEACHER_LAYER,
    VALUES,
    WORDS,
)
from transmamba_mm.transfer.rules.pieces import LAYER, RES_IN, STATE
from transmamba_mm.transfer.rules.rule import Clone, Keep, RuleTable

QUERY_AND_KEY = (
    Clone(
        'query -> C',
        f'{LAYER}.mixer.C_proj.weight',
        (f'{LAYER}.self_attn.q_proj.weight',),
        (STATE, RES_IN),
    ),
    Clone(
        'key -> B',
        f'{LAYER}.mixer.B_proj.weight',
        (f'{LAYER}.self_attn.k_proj.weight',),
        (STATE, RES_IN),
    ),
)

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer=TEACHER_LAYER,
    rules=(
        *WORDS,
        *VALUES,
        *QUERY_AND_KEY,
        Keep(f'{LAYER}.mixer.x_proj.weight', 'dt is read from the scanned tokens'),
        *KEPT,
    ),
    stream=STREAM,
    signature=SIGNATURE,
)
