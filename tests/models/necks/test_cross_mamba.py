"""Visual tokens depend on the text; padding does not leak, and the cost stays linear."""

import pytest
import torch

from benchmarks.flops import count_flops
from transmamba_mm.errors import UserError
from transmamba_mm.ops import bidirectional_order, directional_scan
from transmamba_mm.registry import MODELS

FORMS = [
    {'fusion': 'state'},
    {'fusion': 'state', 'bidirectional': False},
    {'fusion': 'parameters'},
    {'fusion': 'parameters', 'text_roles': ('B', 'dt')},
    {'fusion': 'parameters', 'text_roles': ('B', 'C', 'dt'), 'bidirectional': False},
]
each_form = pytest.mark.parametrize(
    'form', FORMS, ids=lambda form: '-'.join(map(str, form.values()))
)


def build(form, dtype=torch.float64):
    torch.manual_seed(0)
    neck = MODELS.build({'type': 'CrossMamba', 'visual_dims': 8, 'text_dims': 6, **form})
    with torch.no_grad():
        for parameter in neck.parameters():  # so that nothing is hidden by a small start
            parameter.add_(0.2 * torch.randn_like(parameter))
    return neck.to(dtype)


def tokens(batch=3, L=10, M=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in ((batch, L, 8), (batch, M, 6))
    )


@each_form
def test_padding_on_either_side_does_not_leak(form):
    neck, (visual, text) = build(form), tokens()
    alone = neck(visual, text)
    for left, right in ((0, 4), (3, 0), (2, 1)):
        padding = [torch.full((3, n, 6), 7.0, dtype=torch.float64) for n in (left, right)]
        padded = torch.cat([padding[0], text, padding[1]], 1)
        mask = torch.tensor([0] * left + [1] * 5 + [0] * right).expand(3, -1)
        torch.testing.assert_close(neck(visual, padded, mask), alone)


@each_form
def test_lengths_of_a_batch_may_differ(form):
    neck, (visual, text) = build(form), tokens()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    together = neck(visual, text, mask.bool())
    for i, length in enumerate((5, 2, 0)):
        torch.testing.assert_close(
            together[i : i + 1], neck(visual[i : i + 1], text[i : i + 1, :length])
        )


@each_form
def test_another_question_another_output_and_all_gradients(form):
    neck, (visual, text) = build(form), tokens()
    visual.requires_grad_(), text.requires_grad_()
    out = neck(visual, text)
    assert out.shape == visual.shape
    # All orders of the questions' words matter, too: a scan is no bag of words.
    assert (neck(visual, text.roll(1, 0)) - out).abs().amax((1, 2)).gt(1e-4).all()
    assert (neck(visual, text.flip(1)) - out).abs().amax((1, 2)).gt(1e-6).all()
    out.square().sum().backward()
    assert all(t.grad.abs().amax((1, 2)).gt(0).all() for t in (visual, text))
    used = {name for name, p in neck.named_parameters() if p.grad is not None and p.grad.any()}
    unused = {name for name, _ in neck.named_parameters()} - used
    if form['fusion'] == 'state':
        assert not unused
    elif 'dt' not in form.get('text_roles', ()):
        assert unused == {'text.dt_proj', 'text.dt_bias'}
    else:
        assert unused == {'visual.dt_proj', 'visual.dt_bias'} | (
            {'visual.x_proj'} if len(form['text_roles']) == 3 else set()
        )


def test_state_is_the_one_of_a_scan_over_text_and_image_together():
    """One direction: scanning the text and then the image is one scan over both."""
    neck, (visual, text) = build(FORMS[1]), tokens()
    x, z = neck.in_proj(neck.norm(visual)).chunk(2, -1)
    values = neck._text_values(text, torch.ones(3, 5, dtype=torch.float64))
    parts = []
    for module, u in ((neck.text, values), (neck.visual, neck.visual.convolve(x))):
        delta, B, C = module(u)
        parts.append((u, torch.nn.functional.softplus(delta + module.dt_bias[:, None]), B, C))
    u, delta, B, C = (torch.cat(pair, 2) for pair in zip(*parts, strict=True))
    y = directional_scan(
        u, delta, -neck.A_log.exp(), B, C, neck.D, bidirectional_order(15)[:1], 'sum'
    )[:, 5:]
    expected = visual + neck.out_proj(y * torch.nn.functional.silu(z))
    torch.testing.assert_close(neck(visual, text), expected)


@each_form
def test_cost_is_linear_in_both_lengths(form):
    neck = build(form, torch.float32)

    def flops(L, M):
        visual, text = tokens(1, L, M, torch.float32)
        return sum(count_flops(lambda: neck(visual, text)).values())

    assert flops(96, 16) - flops(64, 16) == flops(64, 16) - flops(32, 16) > 0
    assert flops(32, 96) - flops(32, 64) == flops(32, 64) - flops(32, 32) > 0


@pytest.mark.parametrize('wrong', [{'fusion': 'attention'}, {'text_roles': ('B', 'x')}])
def test_unknown_forms_are_refused(wrong):
    with pytest.raises(UserError, match=r'unknown|must name'):
        build({'fusion': 'parameters', **wrong})


@pytest.mark.parametrize('name', ['state_dims', 'expand', 'conv_width'])
def test_sizes_have_to_be_positive(name):
    with pytest.raises(UserError, match=f'{name}=0 of CrossMamba has to be'):
        build({name: 0})


def test_without_fusion_it_is_the_block_that_a_text_without_tokens_leaves():
    plain, fused = build({'fusion': 'none'}), build({'fusion': 'state'})
    plain.load_state_dict({key: fused.state_dict()[key] for key in plain.state_dict()})
    visual, text = tokens()
    torch.testing.assert_close(plain(visual, text), fused(visual, text[:, :0]))
    assert not [name for name, _ in plain.named_parameters() if 'text' in name]
