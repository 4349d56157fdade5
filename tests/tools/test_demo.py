"""The demo, end to end, in fewer steps: teacher, three students, table, figures, report."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from matplotlib import image

TOOL = Path(__file__).parents[2] / 'tools/demo.py'


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """A call of the tool with little to do: the full amount of data only, 35 steps."""
    spec = importlib.util.spec_from_file_location('demo', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'FRACTIONS', [1])
    monkeypatch.setattr(module, 'QUICK_TEACHER_STEPS', 35)
    monkeypatch.setattr(module, 'QUICK_STUDENT_STEPS', 35)
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--quick', '--work-dir', str(tmp_path / 'demo')])
    return module


def test_demo_and_demo_again(demo, tmp_path, capsys):
    demo.main()
    out = capsys.readouterr().out
    assert 'Quick: 35 steps' in out
    assert '[4/4]' in out
    table = (tmp_path / 'demo/table.md').read_text()
    assert table.splitlines()[0] == '| data | scratch | logits | wsab |'
    assert table in out
    for name in ('accuracy', 'training', 'similarity', 'layer_weights'):
        assert image.imread(tmp_path / f'demo/{name}.png').std() > 0.02
    assert json.loads((tmp_path / 'demo/transfer_report.json').read_text())

    logs = {path: path.read_text() for path in tmp_path.glob('demo/**/output.log')}
    assert len(logs) == 4
    demo.main()
    assert '4 of 4 trainings were done before' in capsys.readouterr().out
    assert logs == {path: path.read_text() for path in logs}
    assert (tmp_path / 'demo/table.md').read_text() == table
