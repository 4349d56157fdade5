"""Answer questions about images with a trained model."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from mmengine.config import Config
from mmpretrain.apis import VisualQuestionAnsweringInferencer

from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.datasets.annotations import is_unicode
from transmamba_mm.datasets.image_pixels import read_image
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import fit_to_model, pipeline_of, type_name
from transmamba_mm.launch.runtime import choose_device
from transmamba_mm.models.hf.tokenizers import split_words
from transmamba_mm.models.vqa import BaseVQAModel

#: Steps that read an image from its file, which the inferencer does itself.
LOADERS = {'LoadImage', 'LoadImageFromFile'}


class VQAInferencer:
    """A trained model that answers questions about images.

    ::

        answerer = VQAInferencer('work_dirs/mambavqa-nano_llava-nano_easyvqa')
        answerer(['shape.png'], ['What color is the shape?'])  # ['red']

    Images may have any shape: see :func:`~transmamba_mm.launch.data_config.fit_to_model`.

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that this user's training or export left beside
            the checkpoint; any other has to be named, since a config is executed.
        device (str, optional): By default the fastest there is.

    Raises:
        UserError: No config, a checkpoint that does not fit it, a model that answers no questions,
            a test pipeline that reads no images, no such device.
    """

    def __init__(self, checkpoint: str, config: str | None = None, device: str | None = None):
        self.model, cfg = load_trained(
            checkpoint,
            config,
            device,
            BaseVQAModel,
            'answers no questions: name the config of a MambaVQA or a LlavaTeacher.',
        )
        # The only entry that mmpretrain's inferencer reads: the pipeline.
        dataset = {'pipeline': fit_to_model(image_pipeline(cfg), self.model)}
        self.model._config = Config({'test_dataloader': {'dataset': dataset}})
        self._ask = VisualQuestionAnsweringInferencer(self.model, device=choose_device(device))

    def words(self, question: str) -> tuple[list[str], list[str]]:
        """Return the words of a question inside and outside the model's vocabulary."""
        return split_words(self.model.prompt_template.tokenizer, question)

    def __call__(self, images: Sequence[str | Path], questions: Sequence[str]) -> list[str]:
        """Answer each question about its image.

        Args:
            images (Sequence[str | Path]): Files.
            questions (Sequence[str]): One for each image.

        Raises:
            UserError: An image that cannot be read, an empty question or one that is not valid
                UTF-8, not one for each image.
        """
        if len(images) != len(questions):
            raise UserError(
                f'There are {len(images)} images and {len(questions)} questions: give one question '
                'for each image.'
            )
        for image, question in zip(images, questions, strict=True):
            if not question.strip():
                raise UserError(f'The question about {image} is empty: write one.')
            if not is_unicode(question):
                raise UserError(
                    f'The question about {image} is not valid UTF-8 text ({question!r:.80}): write '
                    'it in UTF-8.'
                )
        answers = []
        for image, question in zip(images, questions, strict=True):
            pixels = read_image(image)[..., ::-1].copy()  # mmcv's order B, G, R
            with redirect_stdout(StringIO()):  # mmpretrain's progress bar, one for each question
                (result,) = self._ask(pixels, question.strip())
            answers.append(result['pred_answer'])
        return answers


def image_pipeline(cfg: Config) -> list[dict]:
    """The steps of a config's test pipeline after reading the image.

    Raises:
        UserError: It reads no images.
    """
    steps = pipeline_of(cfg)
    names = [type_name(step) for step in steps]
    if not LOADERS & set(names):
        raise UserError(
            f'The test pipeline of {cfg.filename} reads no images (it has '
            f'{", ".join(names) or "no steps"}): name a config whose test data are image files, '
            'with --config.'
        )
    return [step for step, name in zip(steps, names, strict=True) if name not in LOADERS]
