"""Llama to a language Mamba with the stock mixer.

Its B and C are read from the scanned tokens, so keys and queries have no place in it; a mixer that
reads them from the hidden state is refused (``llama_to_mamba_hidden``).
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
from transmamba_mm.transfer.rules.pieces import LAYER, READ
from transmamba_mm.transfer.rules.rule import Keep, Refuse, RuleTable

FIX = "take rules='llama_to_mamba_hidden'"

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer=TEACHER_LAYER,
    rules=(
        *WORDS,
        *VALUES,
        Refuse(f'{LAYER}.mixer.C_proj.weight', f'{LAYER}.self_attn.q_proj.weight', FIX),
        Refuse(f'{LAYER}.mixer.B_proj.weight', f'{LAYER}.self_attn.k_proj.weight', FIX),
        Keep(f'{LAYER}.mixer.x_proj.weight', READ),
        *KEPT,
    ),
    stream=STREAM,
    signature=SIGNATURE,
)
