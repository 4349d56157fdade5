"""Llama to a language Mamba with the stock mixer.

Its B and C are read from the scanned tokens, so keys and queries have no place in it.
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
from transmamba_mm.transfer.rules.rule import Keep, RuleTable

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer=TEACHER_LAYER,
    rules=(*WORDS, *VALUES, Keep(f'{LAYER}.mixer.x_proj.weight', READ), *KEPT),
    stream=STREAM,
    signature=SIGNATURE,
)
