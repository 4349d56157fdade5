"""Answers for a person: a trained model, an image, a question."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import mmcv
import torch
from mmengine.device import get_device
from mmpretrain.apis import VisualQuestionAnsweringInferencer
from mmpretrain.datasets import remove_transform

from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.datasets.load_image import UNREADABLE
from transmamba_mm.errors import UserError
from transmamba_mm.models.vqa import VisualAnswerer


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
        self.model, cfg = load_trained(
            checkpoint,
            config,
            device,
            VisualAnswerer,
            'answers no questions: name the config of a MambaVQA or a LlavaTeacher.',
        )
        dataset = cfg.test_dataloader.dataset
        # The inferencer reads the image itself; of pipelines it only knows mmcv's way to do so.
        dataset.pipeline = remove_transform(dataset.pipeline, 'LoadImage')
        self.model._config = cfg  # where mmpretrain's inferencer looks for the pipeline
        self._ask = VisualQuestionAnsweringInferencer(
            self.model, device=torch.device(device or get_device())
        )

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
            with redirect_stdout(StringIO()):  # mmpretrain's progress bar, one for each question
                (result,) = self._ask(pixels, question.strip())
            answers.append(result['pred_answer'])
        return answers


def _read(image: str | Path):
    if not Path(image).is_file():
        raise UserError(f'There is no image {image} (looked at {Path(image).absolute()}).')
    try:
        pixels = mmcv.imread(str(image))
    except UNREADABLE:
        pixels = None
    if pixels is None:
        raise UserError(f'{image} cannot be read as an image: is it damaged, or no image at all?')
    return pixels
