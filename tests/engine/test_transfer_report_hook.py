"""The transfer report lies beside the log and is printed once."""

import json
from pathlib import Path

from tests.engine.tiny_run import TinyModel, tiny_runner
from transmamba_mm.engine import TransferReportHook
from transmamba_mm.transfer.subcloning import TransferLine, TransferReport


def cloned_model() -> TinyModel:
    model = TinyModel()
    line = TransferLine('head.fc.weight', 'cloned', 'head', (4, 8), 32, 32, 'head.weight')
    model.transfer_report = TransferReport([line])
    return model


def test_report_is_saved_and_printed_beside_the_log(tmp_path):
    runner = tiny_runner(tmp_path, TransferReportHook(), model=cloned_model())
    runner.train()
    (file,) = tmp_path.rglob('transfer_report.json')
    assert file.parent == Path(runner.log_dir)
    assert json.loads(file.read_text())['lines'][0]['teacher'] == 'head.weight'
    log = next(file.parent.glob('*.log')).read_text()
    assert '1 of 1 parameters start from the teacher' in log and str(file) in log


def test_resumed_run_keeps_the_report_of_the_first(tmp_path, safe_loading):
    tiny_runner(tmp_path, TransferReportHook(), model=cloned_model(), epochs=1).train()
    tiny_runner(tmp_path, TransferReportHook(), model=cloned_model(), resume=True).train()
    assert len(list(tmp_path.rglob('transfer_report.json'))) == 1


def test_model_without_report_is_left_alone(tmp_path):
    tiny_runner(tmp_path, TransferReportHook()).train()
    assert not list(tmp_path.rglob('transfer_report.json'))
