"""Stages of a config: their shares, what they train, and the distiller of each."""

import pytest
import torch

from tests.transfer.small_models import swap_config, trained, vim_config, vit_config
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.stages import Stage, build_stages, stage_ends

ALIGNMENT = {'type': 'MixerAlignment'}
STAGES = [
    {'share': 0.25, 'name': 'alignment', 'trains': 'mixers', 'distiller': ALIGNMENT},
    {'share': 0.75},
]


def transfer(stages=STAGES, student=None, **options):
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student or swap_config(),
            'teacher': {'model': trained(vit_config())},
            'distiller': {'type': 'WSAB'},
            'subcloning': {'type': 'WeightSubcloning'},
            'stages': stages,
            **options,
        }
    )
    model.init_weights()
    return model


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_shares_add_up_to_the_steps():
    stages = build_stages([{'share': 0.3}, {'share': 0.2}, {'share': 0.5}])
    assert stage_ends(stages, 1000) == [300, 500, 1000]
    assert stage_ends(stages, 7) == [2, 4, 7]
    with pytest.raises(UserError, match='less than one of 1 steps'):
        stage_ends(stages, 1)


@pytest.mark.parametrize(
    'stages, fact',
    [
        ([{'share': 0.3}, {'share': 0.3}], r'0\.3 \+ 0\.3 = 0\.6'),
        ([{'share': 0.0}, {'share': 1.0}], 'share=0'),
        ([{'share': 1.0, 'shares': 1}], 'no shares'),
        ([{'name': 'first'}], r'stages\[0\] needs a share'),
        ([{'share': 1.0, 'lr_mult': 0}], 'lr_mult=0'),
    ],
)
def test_wrong_stages(stages, fact):
    with pytest.raises(UserError, match=fact):
        build_stages(stages)


def test_mixers_of_a_hybrid_are_attention_and_scans():
    model = trained(swap_config(layers=[0]))
    names = [name for name, _ in model.named_parameters()]
    found = Stage(1.0, trains='mixers').trained(model, names)
    assert found and all('.attn.' in name for name in found)
    assert any('qkv' in name for name in found) and any('x_proj' in name for name in found)


def test_globs_of_parameters():
    names = ['backbone.norm.weight', 'head.fc.weight']
    assert Stage(1.0, trains=['head.*']).trained(None, names) == ['head.fc.weight']
    with pytest.raises(UserError, match=r"trains='heads\.\*'.*head\.fc\.weight"):
        Stage(1.0, trains='heads.*').trained(None, names)


def test_a_stage_trains_what_it_names_and_its_own_distiller():
    model = transfer()
    everything = trainable(model)
    model.enter_stage(0)
    assert trainable(model) and all('.attn.mixer.' in name for name in trainable(model))
    model.enter_stage(1)
    assert trainable(model) == everything


def test_what_the_config_freezes_stays_frozen():
    student = swap_config()
    student['backbone']['transformer']['frozen_stages'] = 1
    model = transfer(student=student)
    before = trainable(model)
    model.enter_stage(1)
    assert trainable(model) == before and not any(
        'transformer.layers.0.' in name for name in before
    )


def test_without_the_hook_nothing_trains():
    images = torch.randn(2, 1, 8, 8)
    with pytest.raises(UserError, match='StageHook'):
        transfer()(images, None, mode='loss')
    assert transfer()(images, mode='tensor').shape == (2, 10)


class TestMixerAlignment:
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def loss(self, model):
        model.enter_stage(0)
        losses = model(self.images, None, mode='loss')
        assert set(losses) == {'alignment_loss'}
        return losses['alignment_loss']

    def test_is_the_relative_error_of_each_layer(self):
        """By hand, from hooks on the teacher's attention."""
        model = transfer().double().train()
        model.teacher.model.double()
        self.images = self.images.double()
        calls = {}
        for index, layer in enumerate(model.teacher.model.backbone.layers):
            layer.attn.register_forward_hook(
                lambda _m, args, out, index=index: calls.update({index: (args[0], out)})
            )
        found = self.loss(model)
        errors = []
        for index, swap in enumerate(model.student.backbone.swaps()):
            read, wanted = calls[index]
            error = (swap.mixer(read) - wanted).square().sum()
            errors.append(error / wanted.square().sum())
        expected = sum(errors) / len(errors)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)  # summed in float32

    def test_needs_no_labels_and_trains_the_mixers_alone(self):
        model = transfer()
        self.loss(model).backward()
        with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
        assert with_gradient == trainable(model)

    def test_kept_attention_is_left_out(self):
        whole, hybrid = (
            transfer(student=swap_config(layers=layers), distiller={'type': 'LogitsDistiller'})
            for layers in (None, [0])
        )
        hybrid.student.load_state_dict(whole.student.state_dict(), strict=False)
        assert 0 < self.loss(hybrid) != self.loss(whole)

    def test_a_vim_as_wide_as_its_teacher(self):
        model = transfer(student=vim_config(dims=24, layers=2))
        optimizer = None
        losses = []
        for _ in range(20):
            loss = self.loss(model)
            optimizer = optimizer or torch.optim.Adam(
                [p for p in model.parameters() if p.requires_grad], lr=1e-2
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]

    def test_another_width_is_a_user_error(self):
        with pytest.raises(UserError, match=r'16 wide.*24'):
            transfer(student=vim_config(dims=16))
