"""causal_conv1d gets its inputs laid out as it documents, and only the widths that it takes.

The package needs a GPU. Without one, a function of the documented meaning that checks what the
kernel checks takes its place; the official golden file verifies that meaning.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.ops.backends import dao_conv, torch_conv

GOLDEN = np.load(Path(__file__).parents[1] / 'data/golden/causal_conv1d.npz')
CASES = json.loads(str(GOLDEN['meta']))['cases']
REVERSE = (False, True, True)


def is_channel_last(rows):
    """Whether (B, D, L) is in memory as (B, L, D); refuses the kernel's unsupported layouts."""
    assert rows.stride(2) == 1 or rows.stride(1) == 1
    if not (rows.stride(1) == 1 and rows.stride(2) > 1):
        return False
    assert rows.shape[1] % 8 == rows.stride(2) % 8 == rows.stride(0) % 8 == 0
    assert rows.storage_offset() % 4 == 0  # 16 bytes at once
    return True


def causal_conv1d_fn(x, weight, bias=None, activation=None):
    """x (B, D, L), weight (D, W), bias (D,)."""
    (_, channels, length), width = x.shape, weight.shape[1]
    assert 2 <= width <= 4 and weight.shape[0] == channels
    assert bias is None or bias.shape == (channels,)
    y = F.conv1d(x, weight[:, None], bias, padding=width - 1, groups=channels)[..., :length]
    y = y if activation is None else F.silu(y)

    def check(dy):  # a gradient that is not channel-last is copied
        assert dy.stride(1) != 1 or is_channel_last(dy)

    if is_channel_last(x):
        y.register_hook(check)
    return y


@pytest.mark.parametrize('case', [name for name in CASES if not name.endswith('_init')])
def test_what_stands_for_the_kernel_means_what_the_kernel_means(case):
    names = [n for n in ('x', 'weight', 'bias') if f'in/{case}/{n}' in GOLDEN]
    inputs = [torch.from_numpy(GOLDEN[f'in/{case}/{n}']) for n in names]
    y = causal_conv1d_fn(*inputs, activation=CASES[case]['activation'])
    np.testing.assert_allclose(y, GOLDEN[f'out/{case}/y'], rtol=0, atol=1e-10)


def leaves(width, channels, dtype=torch.float64, device='cpu'):
    torch.manual_seed(0)
    shapes = (2, 7, 2 * channels), (3, channels, width), (3, channels)
    return [torch.randn(s, dtype=dtype, device=device).requires_grad_() for s in shapes]


def outputs_and_gradients(conv, inputs, silu, part=1):
    projected, *weights = inputs
    y = conv(projected.chunk(2, -1)[part], *weights, REVERSE, silu)
    weight = torch.linspace(-1, 1, y.numel() + y[..., 0].numel(), dtype=y.dtype, device=y.device)
    weight = weight.view(*y.shape[:-1], -1)[..., 1:]  # its strides are odd
    return y, *torch.autograd.grad(y, inputs, weight)


@pytest.mark.parametrize('silu', [False, True], ids=['linear', 'silu'])
@pytest.mark.parametrize('part', [0, 1])
@pytest.mark.parametrize('width, channels', [(2, 5), (3, 8), (4, 16), (4, 12)])
def test_layout_there_and_back(width, channels, part, silu):
    def conv(*arguments):
        return dao_conv.conv_with(causal_conv1d_fn, *arguments)

    inputs = leaves(width, channels)
    ours = outputs_and_gradients(conv, inputs, silu, part)
    theirs = outputs_and_gradients(torch_conv.conv, inputs, silu, part)
    assert ours[0].shape == (3, 2, 7, channels)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize('width, channels', [(5, 4), (1, 4), (3, 0)])
def test_what_it_cannot_do_is_left_to_torch(width, channels):
    projected, *weights = leaves(width, channels)
    x = projected.chunk(2, -1)[0]
    y = dao_conv.conv(x, *weights, REVERSE, True)
    torch.testing.assert_close(y, torch_conv.conv(x, *weights, REVERSE, True))


def test_without_the_kernel_importing_works_and_the_reason_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'causal_conv1d_cuda', None)  # cannot be imported
    monkeypatch.setitem(sys.modules, 'causal_conv1d', None)
    available, reason = runpy.run_path(dao_conv.__file__)['available']()
    assert not available and 'causal_conv1d_cuda' in reason and '\n' not in reason


@pytest.mark.skipif(not dao_conv.available()[0], reason=dao_conv.available()[1])
@pytest.mark.parametrize('width, channels', [(2, 5), (3, 8), (4, 64)])
def test_on_a_gpu(width, channels):
    inputs = leaves(width, channels, torch.float32, 'cuda')
    ours = outputs_and_gradients(dao_conv.conv, inputs, True)
    theirs = outputs_and_gradients(torch_conv.conv, inputs, True)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
