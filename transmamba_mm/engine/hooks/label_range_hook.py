"""Stop at the first label outside the classes of the model's head."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class LabelRangeHook(Hook):
    """Raises :class:`UserError` when a batch holds a label outside ``[0, num_classes)``.

    Without it the loss dies with an index error, on a GPU with a device-side assert that names
    nothing. Labels are checked while they are still on the CPU.
    """

    def _before_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, mode: str = 'train'
    ) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = getattr(getattr(model, 'student', model), 'head', None)
        classes = getattr(head, 'num_classes', None)
        if classes is None or not isinstance(data_batch, dict):
            return
        for sample in data_batch.get('data_samples') or ():
            for label in sample.get('gt_label', ()):
                if not 0 <= int(label) < classes:
                    raise UserError(
                        f'Label {int(label)} of {sample.get("img_path", "a sample")} ({mode} data) '
                        f'is outside the range of the head, which has num_classes={classes} '
                        f'(labels 0 to {classes - 1}). Change num_classes or the annotations.'
                    )
