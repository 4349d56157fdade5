"""A swapped Transformer of text from the Transformer: all but the mixers is the teacher's."""

import pytest
import torch
from torch import nn

from tests.models.hf.small_lm import PAD, pad_left, tokens
from tests.models.hf.small_swaps import FAMILIES, clip_text, language_model
from transmamba_mm.models.hf import CausalAttentionSwap
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.subcloning import TeacherWeights, WeightSubcloning

SEQUENCES = [tokens(1, length, seed=length)[0] for length in (9, 1, 4)]


def weights_of(teacher):
    """Canonical weights of a teacher, with those of its head."""
    core = teacher.base_model
    tensors = layout_of(core).canonical_weights(core.state_dict())
    if teacher.get_output_embeddings() is not None:
        tensors['lm_head.weight'] = teacher.lm_head.weight.detach()
    return TeacherWeights(tensors, [4])


def clone(teacher, **options):
    """A new swap of the teacher's sizes with its weights, and the report."""
    torch.manual_seed(2)
    kind = 'CausalLM' if hasattr(teacher, 'lm_head') else 'ClipText'
    config = {**teacher.config.to_diff_dict(), 'model_type': teacher.config.model_type}
    if kind == 'ClipText':
        del config['model_type']
    transformer = MODELS.build({'type': kind, 'config': config})
    student = CausalAttentionSwap(transformer, **options).eval()
    student.init_weights()
    report = WeightSubcloning().apply(nn.ModuleDict({'backbone': student}), weights_of(teacher))
    return student, report


@pytest.mark.parametrize('family', [*FAMILIES, 'clip'])
def test_with_no_layer_swapped_it_computes_what_the_teacher_does(family):
    teacher = clip_text() if family == 'clip' else language_model(family)
    student, report = clone(teacher, layers=[])
    assert {line.status for line in report.lines} == {'cloned'}
    ids, mask = pad_left(SEQUENCES)
    with torch.no_grad():
        ours, theirs = (model(input_ids=ids, attention_mask=mask) for model in (student, teacher))
    name = 'last_hidden_state' if family == 'clip' else 'logits'
    assert torch.equal(ours[name], theirs[name])
    if family != 'clip':
        options = {'max_new_tokens': 8, 'do_sample': False, 'pad_token_id': PAD}
        found = [m.generate(ids, attention_mask=mask, **options) for m in (student, teacher)]
        assert torch.equal(*found)


@pytest.mark.parametrize('family', ['llama', 'llama-grouped', 'qwen2', 'clip'])
def test_everything_but_the_mixers_is_the_teachers(family):
    teacher = clip_text() if family == 'clip' else language_model(family)
    student, report = clone(teacher, layers=[0, 2])
    theirs = teacher.state_dict()
    for key, value in student.transformer.state_dict().items():
        if '.mixer.' not in key:
            assert torch.equal(value, theirs[key]), key
    kept = {line.student for line in report.lines if line.status == 'initialized'}
    assert kept and all('.self_attn.mixer.' in key for key in kept)
    assert {tuple(key.split('.')[1:4:2]) for key in report.unused} == {
        (layer, part) for layer in '02' for part in 'qk'
    }


@pytest.mark.parametrize('family', ['llama', 'llama-grouped', 'qwen2', 'clip'])
def test_a_mixer_reads_the_values_of_each_head_and_writes_the_outputs(family):
    """Where each token attends to itself alone, attention is ``out_proj`` of its values."""
    teacher = clip_text() if family == 'clip' else language_model(family)
    student, _ = clone(teacher)
    path = layout_of(teacher.base_model).mixer_paths()[1]
    attention = teacher.base_model.get_submodule(path)
    hidden = torch.randn(2, 1, 24)
    rotary = (torch.ones(1, 1, 4), torch.zeros(1, 1, 4))
    expected = attention(hidden_states=hidden, position_embeddings=rotary, attention_mask=None)[0]
    mixer = student.swaps()[1].mixer
    x, z = mixer.in_proj(hidden).chunk(2, dim=-1)
    torch.testing.assert_close(nn.functional.silu(z), torch.ones_like(z))
    torch.testing.assert_close(mixer.out_proj(x), expected, atol=1e-5, rtol=1e-5)


def test_mixers_start_as_sums_of_values():
    """By the definition: no convolution, an open gate, D = 0."""
    student, _ = clone(language_model('llama-grouped'))
    mixer = student.swaps()[0].mixer.double()
    hidden = torch.randn(2, 5, 24, dtype=torch.float64)
    values = mixer.in_proj(hidden).chunk(2, dim=-1)[0]  # (B, L, E)
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    dt, B, C = mixer.x_proj(values).split(sizes, dim=-1)
    delta = nn.functional.softplus(mixer.dt_proj(dt))
    state = torch.zeros(2, 24, 16, dtype=torch.float64)
    expected = []
    for t in range(5):
        decay = (-delta[:, t, :, None] * mixer.A_log.exp()).exp()
        state = decay * state + (delta * values)[:, t, :, None] * B[:, t, None]
        expected.append((state * C[:, t, None]).sum(-1))
    torch.testing.assert_close(mixer(hidden), mixer.out_proj(torch.stack(expected, 1)))
