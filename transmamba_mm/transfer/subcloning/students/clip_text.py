"""CLIP's text Transformer (arXiv 2103.00020) from one of the same sizes: all of it, one to one.

For a student that keeps the words of its teacher, which may have been trained since its checkpoint,
and reads them into the same space.
"""

from transmamba_mm.models.layouts.clip import ClipTextLayout
from transmamba_mm.transfer.subcloning.common import LAYER, OTHER, TEACHER
from transmamba_mm.transfer.subcloning.rules import Axis, Clone, StudentTable


def norm(name: str, student: str, teacher: str) -> tuple[Clone, ...]:
    """The two vectors of a norm."""
    return tuple(
        Clone(name, f'{student}.{part}', f'{teacher}.{part}', (OTHER,))
        for part in ('weight', 'bias')
    )


def linear(name: str, student: str, teacher: str) -> tuple[Clone, ...]:
    """Matrix and bias of a linear layer."""
    names = f'{LAYER}.{student}', f'{TEACHER}.{teacher}'
    return (
        Clone(name, f'{names[0]}.weight', f'{names[1]}.weight', (OTHER, OTHER)),
        Clone(name, f'{names[0]}.bias', f'{names[1]}.bias', (OTHER,)),
    )


TABLE = StudentTable(
    family=ClipTextLayout,
    layer='encoder.layers.#',
    rules=(
        Clone(
            'word embeddings',
            'embeddings.token_embedding.weight',
            'token_embed.weight',
            (OTHER, OTHER),
        ),
        Clone('positions', 'embeddings.position_embedding.weight', 'pos_embed', (OTHER, OTHER)),
        *norm('norm', f'{LAYER}.layer_norm1', f'{TEACHER}.norm1'),
        *linear('attention', 'self_attn.q_proj', 'attn.q'),
        *linear('attention', 'self_attn.k_proj', 'attn.k'),
        *linear('attention', 'self_attn.v_proj', 'attn.v'),
        *linear('attention', 'self_attn.out_proj', 'attn.out'),
        *norm('norm', f'{LAYER}.layer_norm2', f'{TEACHER}.norm2'),
        *linear('MLP', 'mlp.fc1', 'mlp.fc1'),
        *linear('MLP', 'mlp.fc2', 'mlp.fc2'),
        *norm('final norm', 'final_layer_norm', 'norm'),
        Clone('projection', 'head.weight', 'head.weight', (Axis.CLASSES, OTHER), optional=True),
    ),
)
