"""Record the teacher tensor that each student tensor came from."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class TransferReportHook(Hook):
    """Logs the model's ``transfer_report`` once and saves it as JSON beside the log."""

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Write ``transfer_report.json``; a model without a report is left alone.

        So is a resumed run: its weights come from the checkpoint, the report lies with the first.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        report = getattr(model, 'transfer_report', None)
        if report is None or runner.iter > 0:
            return
        file = Path(runner.log_dir) / 'transfer_report.json'
        report.save(file)
        runner.logger.info(f'{report.table()}\nSaved as {file}')
