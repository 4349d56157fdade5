"""CLIP's text Transformer (arXiv 2103.00020) to a language Mamba with the stock mixer.

Its MLP and its positions have no place in a Mamba; query and key would go to C and B, which are
read from the scanned tokens here. Embeddings only fit a student with the same words.
"""

from transmamba_mm.transfer.rules.llama import KEPT, STUDENT_LAYER
from transmamba_mm.transfer.rules.pieces import (
    INNER,
    INNER_IN,
    LAYER,
    OTHER,
    READ,
    RES,
    RES_IN,
    norm,
)
from transmamba_mm.transfer.rules.rule import Axis, Clone, Keep, RuleTable

WORDS = 'backbone.embeddings.token_embedding.weight'

TABLE = RuleTable(
    student_layer=STUDENT_LAYER,
    teacher_layer='encoder.layers.#',
    rules=(
        Clone('word embeddings', 'backbone.backbone.embeddings.weight', (WORDS,), (OTHER, RES)),
        *norm('norm', f'{LAYER}.norm', f'{LAYER}.layer_norm1'),
        Clone(
            'value -> x',
            f'{LAYER}.mixer.in_proj.weight',
            (f'{LAYER}.self_attn.v_proj.weight',),
            (INNER, RES_IN),
            rows_of=f'{LAYER}.mixer.out_proj.weight',
        ),
        Clone(
            'attention output -> out_proj',
            f'{LAYER}.mixer.out_proj.weight',
            (f'{LAYER}.self_attn.out_proj.weight',),
            (RES, INNER_IN),
        ),
        Keep(f'{LAYER}.mixer.x_proj.weight', READ),
        *KEPT,
        *norm('final norm', 'backbone.backbone.norm_f', 'backbone.final_layer_norm'),
        Keep('backbone.lm_head.**', 'nothing of it is used: captions are read, not written'),
        Clone('projection', 'head.fc.weight', ('head.fc.weight',), (Axis.CLASSES, RES_IN)),
    ),
    stream={
        f'{LAYER}.layer_norm1.weight': (RES,),
        f'{LAYER}.self_attn.q_proj.weight': (OTHER, RES_IN),
        f'{LAYER}.self_attn.k_proj.weight': (OTHER, RES_IN),
        f'{LAYER}.self_attn.v_proj.weight': (OTHER, RES_IN),
        f'{LAYER}.self_attn.out_proj.weight': (RES, OTHER),
        f'{LAYER}.self_attn.out_proj.bias': (RES,),
        f'{LAYER}.layer_norm2.weight': (RES,),
        f'{LAYER}.mlp.fc1.weight': (OTHER, RES_IN),
        f'{LAYER}.mlp.fc2.weight': (RES, OTHER),
        f'{LAYER}.mlp.fc2.bias': (RES,),
        WORDS: (OTHER, RES),
        'backbone.embeddings.position_embedding.weight': (OTHER, RES),
        'backbone.final_layer_norm.weight': (RES,),
        'head.fc.weight': (OTHER, RES_IN),
    },
    signature=(WORDS, 'backbone.encoder.layers.0.self_attn.q_proj.weight'),
)
