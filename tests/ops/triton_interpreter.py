"""Run the Triton scan in Triton's interpreter; print its errors against the float64 loop as JSON.

A program of its own: Triton decides once per process whether it interprets (TRITON_INTERPRET=1).
"""

import json

import torch

from transmamba_mm.ops.backends import reference, triton_scan
from transmamba_mm.ops.backends.backend import ScanInputs

# Sizes (batch, K, L, E, N), then what differs from the arguments of ``problem``.
CASES = {
    'one-of-all': ((1, 1, 1, 1, 1), {}),
    'N1-two-blocks': ((2, 2, 5, 33, 1), {}),
    'N3-partial-chunk': ((1, 3, 9, 5, 3), {'merge': 'mean'}),
    'N16-two-blocks': ((1, 2, 6, 40, 16), {}),
    'N20-two-warps': ((1, 1, 3, 4, 20), {}),
    'longer': ((1, 1, 37, 3, 2), {'softplus': False}),
    'x-per-direction': ((2, 2, 5, 4, 3), {'shared': False, 'merge': 'none'}),
    'one-lane-for-all': ((2, 3, 5, 4, 3), {'one': True}),
    'one-lane-and-x-per-direction': ((1, 2, 5, 4, 3), {'one': True, 'shared': False}),
    'large-and-small-steps': ((1, 1, 8, 32, 4), {'extreme': True}),
    'nothing-optional': (
        (2, 2, 5, 4, 3),
        {'without': ('D', 'gate', 'delta_bias', 'initial_state'), 'last': False},
    ),
}


def problem(
    batch, K, L, E, N, merge='sum', shared=True, one=False, softplus=True, extreme=False, without=()
):
    """Random inputs: steps from 1e-5 to 8, every tensor of tokens strided, orders random."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=random)

    lanes = 1 if one else K
    low, high = (-17.0, 4.0) if extreme else (-11.5, 2.1)
    delta = torch.exp(low + torch.rand(batch, lanes, E, L, generator=random).mT * (high - low))
    projected = normal(batch, lanes, L, 2 * N + 3)
    tensors = {
        'x': normal(batch, L, 2 * E)[..., E:] if shared else normal(batch, K, E, L).mT,
        # The inverse of softplus.
        'delta': delta.double().expm1().log().float() if softplus else delta,
        'A': -torch.arange(1.0, N + 1) * (0.5 + torch.rand(K, E, 1, generator=random)),
        'B': projected[..., 3 : N + 3],
        'C': projected[..., N + 3 :],
        'D': normal(K, E),
        'gate': normal(batch, L, E),
        'delta_bias': normal(K, E) * 0.1,
        'initial_state': normal(batch, K, E, N),
    }
    order = torch.stack([torch.randperm(L, generator=random) for _ in range(K)])
    given = {name: None if name in without else tensor for name, tensor in tensors.items()}
    return ScanInputs(**given, order=order, merge=merge, delta_softplus=softplus)


def results(scan, inputs, dtype, last=True):
    """Outputs and all gradients by name; float32 leaves keep their strides."""
    leaves = {
        name: tensor.detach().to(dtype).requires_grad_()
        for name, tensor in zip(ScanInputs._fields, inputs.tensors, strict=False)
        if tensor is not None
    }
    y, last_state = scan(inputs._replace(**leaves), return_last_state=last)
    outputs = [y, last_state] if last else [y]
    random = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=random).to(t) for t in outputs]
    gradients = torch.autograd.grad(outputs, list(leaves.values()), weights)
    named = {f'd{name}': g for name, g in zip(leaves, gradients, strict=True)}
    return named | {n: t.detach() for n, t in zip(('y', 'last_state'), outputs, strict=False)}


def errors(sizes, last=True, device='cpu', **kwargs):
    """Relative error by name."""
    inputs = problem(*sizes, **kwargs)
    inputs = inputs._replace(
        **{name: t.to(device) for name, t in inputs._asdict().items() if torch.is_tensor(t)}
    )
    found = results(triton_scan.scan, inputs, torch.float32, last)
    expected = results(reference.scan, inputs, torch.float64, last)
    assert found.keys() == expected.keys()
    return {n: float((found[n] - expected[n]).norm() / expected[n].norm()) for n in expected}


def empty_batch():
    """Largest gradient of a parameter; shapes are compared on the way."""
    found = results(triton_scan.scan, problem(0, 2, 5, 4, 3), torch.float32)
    assert (found['y'].shape, found['dB'].shape) == ((0, 5, 4), (0, 2, 5, 3))
    return {name: float(found[name].abs().max()) for name in ('dA', 'dD', 'ddelta_bias')}


def reproducibility():
    """Largest difference between two runs."""
    inputs = problem(2, 3, 5, 40, 3, one=True)
    first, second = (results(triton_scan.scan, inputs, torch.float32) for _ in range(2))
    return {name: float((first[name] - second[name]).abs().max()) for name in first}


if __name__ == '__main__':
    measured = {name: errors(sizes, **kwargs) for name, (sizes, kwargs) in CASES.items()}
    print(json.dumps(measured | {'empty': empty_batch(), 'twice': reproducibility()}))
