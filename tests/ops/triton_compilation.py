"""Compile the Triton scan for a GPU that need not be there; print the sizes of the binaries."""

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from transmamba_mm.ops.backends import triton_kernels
from transmamba_mm.ops.backends.triton_scan import BLOCK_E, launch_options

OPTIONAL = {
    'forward_kernel': ('D', 'delta_bias', 'initial_state', 'last_state', 'states'),
    'backward_kernel': ('D', 'delta_bias', 'dlast_state', 'dD', 'dbias', 'dinitial_state'),
}


def binary(name, N, capability, optional):
    """Compile as a launch would, with every optional argument or with none."""
    kernel = getattr(triton_kernels, name)
    options = launch_options(N)
    constants = {'N': N, 'SOFTPLUS': optional, 'BLOCK_E': BLOCK_E}
    constants['BLOCK_N'] = options.pop('BLOCK_N')
    constants |= {} if optional else dict.fromkeys(OPTIONAL[name])
    types = {'order': '*i64', 'K': 'i32', 'L': 'i32', 'E': 'i32', 'chunk': 'i32'}
    signature = {
        name: 'constexpr'
        if name in constants
        else ('i64', 'i64', 'i64')
        if name.endswith('_strides')
        else types.get(name, '*fp32')
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, signature, constants)
    compiled = triton.compile(source, GPUTarget('cuda', capability, 32), options)
    return compiled.asm['cubin']


if __name__ == '__main__':
    sizes = {
        f'{kernel}-N{N}-sm_{capability}': len(binary(kernel, N, capability, optional))
        for kernel in OPTIONAL
        for N, capability, optional in ((1, 90, True), (3, 80, False), (40, 90, True))
    }
    print(json.dumps(sizes))
