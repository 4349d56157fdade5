"""torch.export with open sizes and torch.compile at several, each as the first action of a process.

First means that the kernels are not built and checked yet when the graph is captured, under fake
tensors.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.backbones.graphs import STUDENTS

ROOT = Path(__file__).parents[3]


def first_in_a_process(how: str, name: str, sizes: int = 3) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'tests.models.backbones.exported', how, name],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count(name) == sizes


@pytest.mark.slow
@pytest.mark.parametrize('name', STUDENTS)
def test_export_with_batch_and_image_size_open(name):
    first_in_a_process('export', name)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['vim-middle', 'vmamba', 'plainmamba', 'videomamba-clip'])
def test_compile_into_one_graph_at_several_sizes(name):
    first_in_a_process('compile', name)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['vim-middle', 'vim-both', 'vim-both-cls'])
def test_a_few_graphs_are_enough_for_many_sizes(name):
    first_in_a_process('many_sizes', name, sizes=11)
