"""MambaLM against the golden file and against transformers itself."""

import pytest
import torch
from torch import nn
from transformers import MambaForCausalLM

from tests.golden import Golden
from tests.models.hf.small_lm import SIZES, cache_of, pair, tokens
from transmamba_mm.convert import build_from_official
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import MambaLM
from transmamba_mm.registry import MODELS


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
def test_golden_numbers(dtype):
    golden = Golden('mamba_lm')
    model = build_from_official('mamba_lm', golden.state_dict).to(dtype)
    seen = {}
    model.backbone.embeddings.register_forward_hook(lambda *a: seen.update(embeddings=a[2]))
    for i, path in enumerate(model.layer_paths()):
        model.get_submodule(path).register_forward_hook(
            lambda *a, i=i: seen.update({f'block{i}.out': a[2]})
        )
    ids = golden.input('input_ids', torch.long)
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    seen |= {'logits': out.logits, 'final_norm': out.hidden_states[-1]}
    assert len(out.hidden_states) == model.num_layers + 1
    assert all(torch.equal(seen[f'block{i}.out'], out.hidden_states[i]) for i in range(2))
    assert set(golden.outputs()) - {'logits_mamba_ssm'} == seen.keys()
    for name, value in seen.items():
        golden.check(name, value)


@pytest.mark.parametrize('length', [1, 2, 3, 13])
@pytest.mark.parametrize(
    'config',
    [{}, {'use_bias': True, 'conv_kernel': 3}, {'use_conv_bias': False, 'time_step_rank': 3}],
    ids=['plain', 'biases-conv3', 'no-conv-bias-rank3'],
)
def test_equals_transformers(length, config):
    ours, theirs = pair(**config)
    ids = tokens(3, length)
    with torch.no_grad():
        mine = ours(ids, output_hidden_states=True)
        reference = theirs(ids, output_hidden_states=True)
    torch.testing.assert_close(mine.logits, reference.logits, atol=2e-5, rtol=1e-4)
    for a, b in zip(mine.hidden_states, reference.hidden_states, strict=True):
        torch.testing.assert_close(a, b, atol=5e-5, rtol=1e-4)


@pytest.fixture
def honest_float64(monkeypatch):
    """Stop transformers from casting a float64 model down in the middle."""
    monkeypatch.setattr(torch.Tensor, 'float', torch.Tensor.double)


@pytest.mark.parametrize('checkpointing', [False, True])
def test_loss_and_gradients_equal_transformers(honest_float64, checkpointing):
    ours, theirs = pair(torch.float64, residual_in_fp32=False)
    theirs.backbone.norm_f = _float64_norm(theirs.backbone.norm_f)
    for block in theirs.backbone.layers:
        block.norm = _float64_norm(block.norm)
    ids = tokens(2, 9)
    labels = ids.clone()
    labels[:, :4] = -100
    if checkpointing:
        ours.gradient_checkpointing_enable()  # deprecated in transformers 5.23, alone in 5.20
    losses = [model.train()(ids, labels=labels).loss for model in (ours, theirs)]
    torch.testing.assert_close(*losses, atol=1e-12, rtol=0)
    for loss in losses:
        loss.backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name].grad, atol=1e-11, rtol=1e-9, msg=name
        )


def _float64_norm(norm: nn.Module) -> nn.Module:
    honest = nn.RMSNorm(len(norm.weight), norm.variance_epsilon, dtype=torch.float64)
    honest.weight = norm.weight
    return honest


def test_gradients_in_eval_mode_pass_by_the_cache():
    ours, _ = pair()
    ids = tokens()
    out = ours(ids, labels=ids)
    assert not any(layer.recurrent_states[0].requires_grad for layer in cache_of(out).layers)
    follow = ours(ids[:, :1], cache=cache_of(out))
    (out.loss + follow.logits.square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_embeddings_in_place_of_tokens():
    ours, _ = pair()
    ids = tokens()
    embeds = ours.get_input_embeddings()(ids)
    assert torch.equal(ours(ids).logits, ours(inputs_embeds=embeds).logits)
    with pytest.raises(UserError, match='one of them'):
        ours(ids, inputs_embeds=embeds)
    with pytest.raises(UserError, match='one of them'):
        ours()


def test_the_last_logits_alone():
    ours, _ = pair()
    ids = tokens()
    full = ours(ids).logits
    torch.testing.assert_close(ours(ids, logits_to_keep=2).logits, full[:, -2:])
    torch.testing.assert_close(ours(ids, logits_to_keep=torch.tensor([1, 4])).logits, full[:, 1::3])
    assert ours(ids, return_dict=False)[0].shape == full.shape


def test_half_precision_and_autocast_stay_close():
    ours, _ = pair()
    ids = tokens()
    with torch.no_grad():
        exact = ours(ids).logits
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = ours(ids)
            low_next = ours(ids[:, :1], cache=cache_of(low)).logits
        torch.testing.assert_close(low.logits, exact, atol=0.3, rtol=0.1)
        half = ours.bfloat16()(ids)
        half_next = ours(ids[:, :1], cache=cache_of(half)).logits
    assert half.logits.dtype == torch.float32
    assert cache_of(half).layers[0].recurrent_states[0].dtype == torch.float32
    torch.testing.assert_close(half.logits, exact, atol=0.5, rtol=0.1)
    torch.testing.assert_close(half_next, low_next, atol=0.5, rtol=0.1)


class TestFace:
    """The interface of a backbone for a transfer."""

    def test_layers_and_directions(self):
        ours, _ = pair()
        assert (ours.num_layers, ours.embed_dims) == (3, 24)
        assert ours.layer_dims() == [24] * 3
        assert ours.layer_grids((1, 7)) == [(1, 7)] * 3
        assert torch.equal(ours.directions((1, 7)), torch.arange(7)[None])
        hidden = torch.randn(2, 7, 24)
        assert ours.to_canonical(hidden, (1, 7)) == (hidden, None)

    def test_the_direction_feature_is_what_the_block_adds(self):
        ours, _ = pair()
        seen = {}
        for kind, paths in (('layer', ours.layer_paths()), ('tap', ours.direction_paths())):
            for i, path in enumerate(paths):
                ours.get_submodule(path).register_forward_hook(
                    lambda *a, key=(kind, i): seen.update({key: a[2]})
                )
        ours(tokens())
        assert seen['tap', 1].shape == (2, 1, 7, 24)
        torch.testing.assert_close(
            seen['layer', 0] + seen['tap', 1].sum(1), seen['layer', 1], atol=1e-6, rtol=1e-5
        )


class TestBuilding:
    def test_by_registered_name(self):
        model = MODELS.build({'type': 'MambaLM', 'config': SIZES, 'dtype': 'float64'})
        assert isinstance(model, MambaLM)
        assert model.dtype == torch.float64
        assert all(parameter.isfinite().all() for parameter in model.parameters())

    def test_starts_as_transformers_does(self):
        torch.manual_seed(0)
        ours = MambaLM({**SIZES, 'hidden_size': 128, 'rescale_prenorm_residual': True})
        theirs = MambaForCausalLM(ours.config)
        for name, expected in theirs.named_parameters():
            actual = ours.get_parameter(name)
            assert actual.std().item() == pytest.approx(expected.std().item(), rel=0.25, abs=1e-6)
            assert actual.mean().item() == pytest.approx(expected.mean().item(), abs=0.4), name

    def test_init_weights_of_mmengine_keeps_what_is_there(self):
        ours, _ = pair()
        before = {key: value.clone() for key, value in ours.state_dict().items()}
        ours.init_weights()
        assert all(torch.equal(before[key], value) for key, value in ours.state_dict().items())

    def test_mistakes(self):
        with pytest.raises(UserError, match='one of them'):
            MambaLM()
        with pytest.raises(UserError, match='has no d_model'):
            MambaLM({'d_model': 3})
        with pytest.raises(UserError, match="hidden_act='gelu'"):
            MambaLM({**SIZES, 'hidden_act': 'gelu'})
        with pytest.raises(UserError, match=r'attention_mask has shape \(2, 6\)'):
            pair()[0](tokens(), attention_mask=torch.ones(2, 6))

    def test_another_layout_of_transformers_is_noticed(self, monkeypatch):
        init = MambaForCausalLM.__init__

        def renamed(self, config):
            init(self, config)
            self.backbone.last_norm = self.backbone.norm_f
            del self.backbone.norm_f

        monkeypatch.setattr(MambaForCausalLM, '__init__', renamed)
        with pytest.raises(UserError, match=r'transformers \d.*backbone.norm_f.weight'):
            MambaLM(SIZES)
