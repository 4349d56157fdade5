"""--amp trains and tests on a CPU, in bfloat16."""

import json

import pytest
import torch

from tests.tools.command_line import TINY_STUDENT, run_tool, write_scratch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='--amp is float16 on a GPU'),
]


def losses(work_dir) -> list[float]:
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    rows = map(json.loads, scalars.read_text().splitlines())
    return [row['loss'] for row in rows if 'loss' in row]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('amp')
    config = write_scratch(folder, TINY_STUDENT, steps=6)
    for name, options in {'fp32': [], 'amp': ['--amp']}.items():
        result = run_tool('train.py', config, *options, '--work-dir', name, cwd=folder)
        assert result.returncode == 0, result.stderr
    return folder


def test_losses_are_near_those_of_float32(runs):
    exact, amp = losses(runs / 'fp32'), losses(runs / 'amp')
    assert len(amp) == len(exact) == 6
    assert amp != exact, 'nothing was computed in bfloat16'
    assert amp == pytest.approx(exact, rel=0.02)


def test_the_evaluation_is_near_that_of_float32(runs):
    scores = []
    for name, options in {'exact': [], 'half': ['--amp']}.items():
        out = runs / f'{name}.json'
        result = run_tool('test.py', 'scratch.py', 'amp', '--out', out, *options, cwd=runs)
        assert result.returncode == 0, result.stderr
        scores.append(json.loads(out.read_text())['accuracy/top1'])
    assert scores[1] == pytest.approx(scores[0], abs=2)


def test_float16_is_refused(runs):
    result = run_tool(
        'train.py', 'scratch.py', '--amp', '--cfg-options', 'optim_wrapper.dtype=float16', cwd=runs
    )
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert all(word in result.stderr for word in ('optim_wrapper.dtype', 'float16', 'bfloat16'))
