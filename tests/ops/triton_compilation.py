"""Run the Triton scan up to its launches, compiling for a GPU that need not be there.

A program of its own, which prints the size of every binary as JSON: it replaces Triton's driver.
"""

import json

import torch
import triton
from triton.backends.compiler import GPUTarget

from tests.ops.triton_interpreter import CASES, problem, results
from transmamba_mm.ops.backends import triton_scan

# Compute capabilities, and cases that differ in what Triton makes constant.
TARGETS = [(90, case) for case in ('one-of-all', 'nothing-optional', 'N16-two-blocks', 'longer')]
TARGETS += [(80, 'N20-two-warps')]


class Absent:
    """The part of a driver that Triton calls before a launch."""

    def __init__(self, capability):
        self.target = GPUTarget('cuda', capability, 32)

    def get_current_device(self):
        return self.target.arch

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return self.target


run = triton.JITFunction.run
sizes = {}


def compile_only(self, *args, **kwargs):
    """Take the place of a launch."""
    compiled = run(self, *args, **kwargs | {'warmup': True})
    sizes[f'{self.fn.__name__}-{compiled.hash}'] = len(compiled.asm['cubin'])


if __name__ == '__main__':
    triton.JITFunction.run = compile_only
    for capability, case in TARGETS:
        triton.runtime.driver.set_active(Absent(capability))
        sizes_of, kwargs = CASES[case]
        kwargs = dict(kwargs)
        last = kwargs.pop('last', True)
        results(triton_scan.scan, problem(*sizes_of, **kwargs), torch.float32, last)
    print(json.dumps(sizes))
