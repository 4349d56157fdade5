"""Calibrate a transfer before its first step."""

from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.errors import UserError
from transmamba_mm.random_states import seeded
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class CalibrationHook(Hook):
    """Shows images to a transfer whose subcloning has a ``calibration``, before its first step.

    The images are evenly spread over the training data, the same ones in every process, without
    the batch augmentation; labels are not read. Processes get the first one's numbers, and the
    random states stay what they were. A resumed training, or one that starts from a checkpoint,
    has its weights already.

    Args:
        num_images (int): How many; at most as many as there are.
    """

    priority = 'HIGH'  # behind the stages, before reports

    @checked(num_images=COUNT)
    def __init__(self, num_images: int = 128) -> None:
        self.num_images = num_images

    def before_train(self, runner: Runner) -> None:
        """Calibrate, log what was measured."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not getattr(model, 'needs_calibration', False):
            return
        loader: DataLoader = runner.train_dataloader
        dataset, count = loader.dataset, min(self.num_images, len(loader.dataset))
        with seeded([0]):
            items = [dataset[i * len(dataset) // count] for i in range(count)]
            batch = model.data_preprocessor(loader.collate_fn(items), training=False)
            images = batch.get('inputs', batch.get('images'))
            if images is None:
                raise UserError(
                    'The batches of train_dataloader have no images to calibrate on: end its '
                    'pipeline with what packs its items, such as PackInputs.'
                )
            lines = model.calibrate(images)
        for parameter in model.student.parameters():
            broadcast(parameter.data)
        runner.logger.info('\n'.join([f'Calibrated on {count} images:', *lines]))
