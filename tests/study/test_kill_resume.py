"""Ten real kills of a real training with augmentation; nothing of them may be left in the end."""

import pytest

from tests.tools.command_line import ROOT, run_tool

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('workers', [0, 2])
def test_ten_kills_leave_no_trace(tmp_path, workers):
    config = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'
    loader = [f'train_dataloader.num_workers={workers}']
    result = run_tool(
        'analysis/kill_resume.py',
        config,
        '--method',
        'scratch',
        '--kills',
        '10',
        '--steps',
        '36',
        '--cfg-options',
        *loader,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert '10 of 10 kills' in result.stdout
