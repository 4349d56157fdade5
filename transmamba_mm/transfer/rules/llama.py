"""What all tables say about a Llama of transformers (arXiv 2302.13971) and our language models.

The MLP of a Llama has no place in a Mamba block. Its values are not rotated by the position
embedding; its queries and keys are, behind the weights that the rules are about. Embeddings and
head only fit a student with the same words.
"""

from transmamba_mm.transfer.rules.pieces import (
    INNER,
    INNER_IN,
    LAYER,
    OTHER,
    RES,
    RES_IN,
    SCAN,
    last_tap,
    no_bias,
    norm,
)
from transmamba_mm.transfer.rules.rule import Clone, Keep

STUDENT_LAYER = 'backbone.layers.#'
TEACHER_LAYER = 'layers.#'
SIGNATURE = ('backbone.embed_tokens.weight', 'backbone.layers.0.self_attn.q_proj.weight')
STREAM = {
    f'{LAYER}.input_layernorm.weight': (RES,),
    f'{LAYER}.self_attn.q_proj.weight': (OTHER, RES_IN),
    f'{LAYER}.self_attn.k_proj.weight': (OTHER, RES_IN),
    f'{LAYER}.self_attn.v_proj.weight': (OTHER, RES_IN),
    f'{LAYER}.self_attn.o_proj.weight': (RES, OTHER),
    f'{LAYER}.post_attention_layernorm.weight': (RES,),
    f'{LAYER}.mlp.gate_proj.weight': (OTHER, RES_IN),
    f'{LAYER}.mlp.up_proj.weight': (OTHER, RES_IN),
    f'{LAYER}.mlp.down_proj.weight': (RES, OTHER),
    'backbone.embed_tokens.weight': (OTHER, RES),
    'backbone.norm.weight': (RES,),
    'backbone.lm_head.weight': (OTHER, RES_IN),
}

WORDS: tuple[Clone, ...] = (
    Clone(
        'word embeddings',
        'backbone.backbone.embeddings.weight',
        ('backbone.embed_tokens.weight',),
        (OTHER, RES),
    ),
    # Optional: tied to the embeddings it is no parameter of its own.
    Clone(
        'language head',
        'backbone.lm_head.weight',
        ('backbone.lm_head.weight', 'backbone.embed_tokens.weight'),
        (OTHER, RES_IN),
        optional=True,
    ),
    *norm('final norm', 'backbone.backbone.norm_f', 'backbone.norm'),
)
VALUES: tuple[Clone, ...] = (
    *norm('norm', f'{LAYER}.norm', f'{LAYER}.input_layernorm'),
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
        (f'{LAYER}.self_attn.o_proj.weight',),
        (RES, INNER_IN),
    ),
)
KEPT: tuple[Keep, ...] = (
    Keep(f'{LAYER}.mixer.conv1d.weight', SCAN, mimic=last_tap),
    Keep(f'{LAYER}.mixer.conv1d.bias', SCAN, mimic=no_bias),
    Keep(f'{LAYER}.mixer.**', SCAN),
)
