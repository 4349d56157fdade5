"""The transfer report lies beside the log and is printed once."""

from tests.engine.tiny_run import tiny_runner
from transmamba_mm.engine import TransferReportHook


def test_model_without_report_is_left_alone(tmp_path):
    runner = tiny_runner(tmp_path, TransferReportHook())
    runner.train()
    assert not list(tmp_path.rglob('transfer_report.json'))
