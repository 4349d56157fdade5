"""RMSNorm: torch's numbers, and a norm to OpenMMLab."""

import mmcv.cnn
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.utils.dl_utils import is_norm
from torch import nn

from tests.models.hf.small_lm import SIZES
from tests.transfer.small_models import vim_config
from transmamba_mm.models.norms import RMSNorm
from transmamba_mm.models.retrieval.temporal_pooling import build_pooling
from transmamba_mm.registry import MODELS


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_numbers_and_weights_are_those_of_torch(dtype):
    ours, torchs = RMSNorm(8, 1e-5).to(dtype), nn.RMSNorm(8, 1e-5, dtype=dtype)
    nn.init.normal_(torchs.weight)
    ours.load_state_dict(torchs.state_dict())
    x = torch.randn(2, 3, 8, dtype=dtype)
    assert torch.equal(ours(x), torchs(x))


def models():
    return {
        'vim': MODELS.build(vim_config()),
        'language': MODELS.build({'type': 'MambaLM', 'config': SIZES}),
        'temporal': build_pooling({'type': 'mamba', 'num_layers': 2}, 16),
    }


@pytest.mark.parametrize('name', ['vim', 'language', 'temporal'])
def test_every_norm_is_found_and_decays_as_norms_do(name):
    model = models()[name]
    norms = [path for path, _ in model.named_modules() if 'norm' in path.rpartition('.')[2]]
    norms += [path for path, _ in model.named_modules() if path.startswith('norms.')]
    norms = [path for path in norms if list(model.get_submodule(path).parameters(recurse=False))]
    assert norms
    for path in norms:
        assert is_norm(model.get_submodule(path)) and mmcv.cnn.is_norm(model.get_submodule(path))
    optimizer = build_optim_wrapper(
        model,
        {
            'optimizer': {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.1},
            'paramwise_cfg': {'norm_decay_mult': 0.0, 'bypass_duplicate': True},
        },
    ).optimizer
    decay = {id(g['params'][0]): g['weight_decay'] for g in optimizer.param_groups}
    names = {name: decay[id(parameter)] for name, parameter in model.named_parameters()}
    assert {name for name, value in names.items() if not value} == {f'{n}.weight' for n in norms}
