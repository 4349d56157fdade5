"""CLIP's text Transformer (arXiv 2103.00020) to one of the same sizes: all of it, one to one.

For a student that keeps the words of its teacher, which may have been trained since its checkpoint,
and reads them into the same space.
"""

from transmamba_mm.transfer.rules.clip_text_to_mamba import WORDS
from transmamba_mm.transfer.rules.pieces import LAYER, OTHER
from transmamba_mm.transfer.rules.rule import Axis, Clone, RuleTable

POSITIONS = 'backbone.embeddings.position_embedding.weight'


def same(name: str, key: str, *axes: Axis) -> Clone:
    """A tensor that both sides have, of the same shape."""
    return Clone(name, key, (key,), axes)


def norm(name: str, path: str) -> tuple[Clone, ...]:
    """The two vectors of a norm."""
    return same(name, f'{path}.weight', OTHER), same(name, f'{path}.bias', OTHER)


def linear(name: str, path: str) -> tuple[Clone, ...]:
    """Matrix and bias of a linear layer."""
    return same(name, f'{path}.weight', OTHER, OTHER), same(name, f'{path}.bias', OTHER)


TABLE = RuleTable(
    student_layer='encoder.layers.#',
    teacher_layer='encoder.layers.#',
    rules=(
        same('word embeddings', WORDS, OTHER, OTHER),
        same('positions', POSITIONS, OTHER, OTHER),
        *norm('norm', f'{LAYER}.layer_norm1'),
        *linear('attention', f'{LAYER}.self_attn.q_proj'),
        *linear('attention', f'{LAYER}.self_attn.k_proj'),
        *linear('attention', f'{LAYER}.self_attn.v_proj'),
        *linear('attention', f'{LAYER}.self_attn.out_proj'),
        *norm('norm', f'{LAYER}.layer_norm2'),
        *linear('MLP', f'{LAYER}.mlp.fc1'),
        *linear('MLP', f'{LAYER}.mlp.fc2'),
        *norm('final norm', 'backbone.final_layer_norm'),
        same('projection', 'head.fc.weight', Axis.CLASSES, OTHER),
    ),
    stream={},
    signature=(WORDS, 'backbone.encoder.layers.0.self_attn.q_proj.weight'),
)
