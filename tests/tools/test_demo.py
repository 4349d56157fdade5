"""The demo, end to end, in fewer steps: teacher, three students, table, figures, report."""

import json

import pytest
from matplotlib import image

from tests.tools.command_line import load_tool

STEPS = 35  # the schedules warm up for 30


@pytest.fixture
def demo(monkeypatch):
    """The tool with little to do: the full amount of data alone, and few steps."""
    module = load_tool('demo.py')
    monkeypatch.setattr(module, 'FRACTIONS', [1])
    monkeypatch.setattr(module, 'QUICK_TEACHER_STEPS', STEPS)
    monkeypatch.setattr(module, 'QUICK_STUDENT_STEPS', STEPS)
    return module


def test_demo_and_demo_again(demo, tmp_path, capsys):
    command = ['--quick', '--jobs', '1', '--work-dir', str(tmp_path / 'demo')]
    demo.main(command)
    out = capsys.readouterr().out
    assert f'Quick: {STEPS} steps' in out
    assert '[4/4]' in out
    table = (tmp_path / 'demo/table.md').read_text()
    rows = [row.split(' | ')[1] for row in table.splitlines()[2:]]
    assert rows == ['scratch', 'logits', 'wsab']
    assert table in out
    for name in ('accuracy', 'training', 'similarity', 'layer_weights'):
        assert image.imread(tmp_path / f'demo/{name}.png').std() > 0.02
    assert json.loads((tmp_path / 'demo/transfer_report.json').read_text())

    logs = {path: path.read_text() for path in tmp_path.glob('demo/**/output.log')}
    assert len(logs) == 4
    demo.main(command)
    assert '3 of 3 trainings were done before' in capsys.readouterr().out
    assert logs == {path: path.read_text() for path in logs}
    assert (tmp_path / 'demo/table.md').read_text() == table
