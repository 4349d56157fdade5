"""Answers for a person: a trained model, an image, a question."""

from collections.abc import Sequence
from pathlib import Path

import mmcv
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmpretrain.apis import VisualQuestionAnsweringInferencer
from mmpretrain.datasets import remove_transform

from transmamba_mm.apis.runtime import prepare_runtime
from transmamba_mm.apis.student import student_weights, trained_student_config
from transmamba_mm.checkpoint import load_state_dict, locate
from transmamba_mm.errors import UserError
from transmamba_mm.models.vqa import VisualAnswerer
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.teacher import load_exactly


class VisualQuestionAnswerer:
    """A trained model that answers questions about images.

    ::

        answerer = VisualQuestionAnswerer('work_dirs/mambavqa-nano_llava-nano_easyvqa')
        answerer(['shape.png'], ['What color is the shape?'])  # ['red']

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that training left beside the checkpoint.
        device (str, optional): By default the fastest there is.

    Raises:
        UserError: No config, a checkpoint that does not fit it, a model that answers no questions.
    """

    def __init__(self, checkpoint: str, config: str | None = None, device: str | None = None):
        cfg = Config.fromfile(config or find_config(checkpoint))
        prepare_runtime(cfg)
        init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
        cfg.model = trained_student_config(cfg.model, checkpoint)
        if 'data_preprocessor' in cfg:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        self.model = MODELS.build(cfg.model)
        if not isinstance(self.model, VisualAnswerer):
            raise UserError(
                f'{cfg.filename} describes a {type(self.model).__name__}, which answers no '
                'questions: name the config of a MambaVQA or a LlavaTeacher.'
            )
        weights = student_weights(load_state_dict(checkpoint))
        load_exactly(self.model, weights, str(checkpoint))
        dataset = cfg.test_dataloader.dataset
        # The inferencer reads the image itself; of pipelines it only knows mmcv's way to do so.
        dataset.pipeline = remove_transform(dataset.pipeline, 'LoadImage')
        self.model._config = cfg  # where mmpretrain's inferencer looks for the pipeline
        self._ask = VisualQuestionAnsweringInferencer(
            self.model.eval(), device=torch.device(device or get_device())
        )
        self._ask.show_progress = False

    def __call__(self, images: Sequence[str | Path], questions: Sequence[str]) -> list[str]:
        """Answer each question about its image.

        Args:
            images (Sequence[str | Path]): Files.
            questions (Sequence[str]): One for each image.

        Raises:
            UserError: An image that cannot be read, an empty question, not one for each image.
        """
        if len(images) != len(questions):
            raise UserError(
                f'There are {len(images)} images and {len(questions)} questions: give one question '
                'for each image.'
            )
        answers = []
        for image, question in zip(images, questions, strict=True):
            if not question.strip():
                raise UserError(f'The question about {image} is empty: ask something.')
            pixels = _read(image)
            (result,) = self._ask(pixels, question.strip())
            answers.append(result['pred_answer'])
        return answers


def find_config(checkpoint: str) -> Path:
    """The config that training left in the folder of a checkpoint; UserError without one."""
    folder = Path(locate(checkpoint)).parent
    found = sorted(folder.glob('*.py'))
    if len(found) != 1:
        raise UserError(
            f'{folder} holds {len(found)} configs, so it is not clear which model {checkpoint} is '
            'of: name one with --config.'
        )
    return found[0]


def _read(image: str | Path):
    if not Path(image).is_file():
        raise UserError(f'There is no image {image} (looked at {Path(image).absolute()}).')
    pixels = mmcv.imread(str(image))
    if pixels is None:
        raise UserError(f'{image} cannot be read as an image: is it damaged, or no image at all?')
    return pixels
