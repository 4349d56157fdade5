"""Decay spares what mixers name and what is no matrix; rates go by pattern and by kind."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from tests.configs.decay import check_decay
from tests.transfer.small_models import (
    plainmamba_config,
    swin_config,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

MODELS_BY_NAME = {
    'Vim': vim_config(),
    'PlainMamba': plainmamba_config(),
    'VideoMamba': videomamba_config(),
    'VMamba': vmamba_config(),
    'VisionTransformer': vit_config(),
    'SwinTransformer': swin_config(),
    'CrossMamba': {'type': 'CrossMamba', 'visual_dims': 8, 'text_dims': 8, 'state_dims': 4},
    'MambaLM': {
        'type': 'MambaLM',
        'config': {'vocab_size': 8, 'hidden_size': 8, 'num_hidden_layers': 1, 'state_size': 4},
    },
}


def optimizer_of(model, weight_decay=0.1, **paramwise):
    config = {
        'constructor': 'transmamba_mm.SelectiveDecayOptimWrapperConstructor',
        'optimizer': {'type': 'SGD', 'lr': 1.0, 'weight_decay': weight_decay},
        'paramwise_cfg': paramwise,
    }
    return build_optim_wrapper(model, config).optimizer


@pytest.fixture
def vim():
    return MODELS.build(vim_config())


def rates(model, optimizer):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: g['lr'] for g in optimizer.param_groups for p in g['params']}


@pytest.mark.parametrize('name', MODELS_BY_NAME)
def test_matrices_decay_and_nothing_else(name):
    model = MODELS.build(MODELS_BY_NAME[name])
    check_decay(model, optimizer_of(model))


def test_a_step_without_gradient_shrinks_matrices_alone(vim):
    with torch.no_grad():
        for parameter in vim.parameters():
            parameter.fill_(1.0).grad = torch.zeros_like(parameter)
    optimizer_of(vim, weight_decay=0.25).step()
    block = vim.backbone.blocks[0]
    assert (block.mixer.in_proj.weight == 0.75).all()
    for spared in (block.mixer.fwd.A_log, block.mixer.bwd.D, block.norm.weight, vim.head.fc.bias):
        assert (spared == 1).all()
    assert (vim.backbone.pos_embed == 1).all() and (vim.backbone.cls_token == 1).all()


def test_a_group_for_each_rate_and_decay(vim):
    assert len(optimizer_of(vim).param_groups) == 2
    assert len(optimizer_of(vim, position_lr_mult=10.0).param_groups) == 3


def test_positions_and_tokens_have_rates_of_their_own(vim):
    found = rates(vim, optimizer_of(vim, position_lr_mult=10.0, token_lr_mult=5.0))
    assert found['backbone.pos_embed'] == 10 and found['backbone.cls_token'] == 5
    assert {rate for name, rate in found.items() if 'blocks' in name} == {1.0}


def test_the_longest_pattern_counts_and_is_anchored(vim):
    patterns = {'backbone.*': 0.5, 'backbone.blocks.1.*': 0.25}
    found = rates(vim, optimizer_of(vim, lr_mults=patterns))
    assert found['backbone.blocks.0.norm.weight'] == 0.5
    assert found['backbone.blocks.1.norm.weight'] == 0.25
    assert found['head.fc.weight'] == 1
    with pytest.raises(UserError, match='blocks'):
        optimizer_of(vim, lr_mults={'blocks.*': 0.5})  # not anywhere in a name


def test_patterns_are_the_same_in_a_transfer(vim):
    model = nn.ModuleDict({'student': vim})
    assert rates(model, optimizer_of(model, lr_mults={'head.*': 2.0}))['student.head.fc.bias'] == 2


def test_frozen_parameters_are_in_no_group(vim):
    vim.backbone.patch_embed.requires_grad_(False)
    check_decay(vim, optimizer_of(vim))


def test_an_optimizer_without_decay(vim):
    config = {'type': 'SGD', 'lr': 1.0}
    wrapper = {'constructor': 'transmamba_mm.SelectiveDecayOptimWrapperConstructor'}
    optimizer = build_optim_wrapper(vim, {**wrapper, 'optimizer': config}).optimizer
    assert {group['weight_decay'] for group in optimizer.param_groups} == {0}


def test_a_misspelt_key_is_refused(vim):
    with pytest.raises(UserError, match='postion_lr_mult'):
        optimizer_of(vim, postion_lr_mult=2.0)
