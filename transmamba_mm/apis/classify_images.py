"""Classify images with a trained model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.dataset import default_collate
from mmpretrain.models import ImageClassifier
from PIL import Image
from rich.progress import track

from transmamba_mm.apis.answer_questions import image_pipeline
from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.checkpoint import load_checkpoint, resolve_checkpoint
from transmamba_mm.checks import COUNT, check
from transmamba_mm.datasets.image_list import list_folder
from transmamba_mm.datasets.image_pixels import read_image
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import fit_to_model
from transmamba_mm.plots import STYLE, save_figure

BARS = 5  # classes of a picture
#: Where ``tools/transfer.py`` trains the student, in its folder.
STUDENT = 'student'


@dataclass(frozen=True)
class Prediction:
    """The classes of one image.

    Attributes:
        name (str): The image's path, or its number among the inputs.
        scores (np.ndarray): (classes,), they add up to 1.
        classes (tuple[str, ...]): Their names.
    """

    name: str
    scores: np.ndarray
    classes: tuple[str, ...]

    @property
    def label(self) -> int:
        """The most likely class."""
        return int(self.scores.argmax())

    def top(self, number: int) -> list[tuple[str, float]]:
        """Names and scores of the most likely classes."""
        order = np.argsort(-self.scores)[:number]
        return [(self.classes[i], float(self.scores[i])) for i in order]


class ImageClassifierInferencer:
    """A trained classifier of images.

    ::

        classify = ImageClassifierInferencer('work_dirs/mine')
        classify(['photo.jpg'])[0].top(3)  # [('dog', 0.97), ...]

    Images may have any shape: see :func:`~transmamba_mm.launch.data_config.fit_to_model`.

    Args:
        checkpoint (str): A file, a work_dir, the folder of ``tools/transfer.py`` or a URL; a
            transfer's, an exported student's or a teacher's.
        config (str, optional): By default the one that this user's training or export left beside
            the checkpoint; any other has to be named, since a config is executed.
        device (str, optional): By default the fastest there is.

    Raises:
        UserError: No config, a checkpoint that does not fit it, a model that classifies no images,
            a test pipeline that reads no images, no such device.
    """

    def __init__(
        self, checkpoint: str, config: str | None = None, device: str | None = None
    ) -> None:
        inner = Path(checkpoint) / STUDENT
        checkpoint = str(inner) if inner.is_dir() else checkpoint
        self.model, cfg = load_trained(
            checkpoint,
            config,
            device,
            ImageClassifier,
            'classifies no images: name the config of a classifier.',
        )
        self._prepare = Compose(fit_to_model(image_pipeline(cfg), self.model))
        number = self.model.head.num_classes
        self.classes = _class_names(checkpoint) or tuple(map(str, range(number)))

    def __call__(
        self,
        inputs: Any,
        batch_size: int = 16,
        show_dir: str | Path | None = None,
        progress: bool = False,
    ) -> list[Prediction]:
        """Classify images.

        Args:
            inputs: Images, or one: paths, folders of images, arrays (H, W, 3) of red, green and
                blue, 0..255, or PIL images.
            batch_size (int): Images at once.
            show_dir (str | Path, optional): Folder for a PNG of each image and its classes.
            progress (bool): Whether to show a bar.

        Raises:
            UserError: An image that cannot be read, a URL, something else.
        """
        check('ImageClassifierInferencer', 'batch_size', batch_size, COUNT)
        images = list(_flatten(inputs))
        if not images:
            raise UserError('There are no images to classify: name a file, or a folder of images.')
        predictions: list[Prediction] = []
        batches = range(0, len(images), batch_size)
        for first in track(batches, 'Classifying') if progress else batches:
            chunk = images[first : first + batch_size]
            pixels = [(_name(image, first + i), _pixels(image)) for i, image in enumerate(chunk)]
            scores = self._scores([image for _, image in pixels])
            for (name, image), row in zip(pixels, scores, strict=True):
                predictions.append(Prediction(name, row, self.classes))
                if show_dir is not None:
                    number = f'{len(predictions) - 1:04d}_{Path(name).stem[:40]}.png'
                    _draw(image, predictions[-1], Path(show_dir) / number)
        return predictions

    @torch.no_grad()
    def _scores(self, images: Sequence[np.ndarray]) -> np.ndarray:
        items = [
            self._prepare(
                {
                    'img': image[..., ::-1].copy(),  # mmcv's order B, G, R
                    'img_shape': image.shape[:2],
                    'ori_shape': image.shape[:2],
                }
            )
            for image in images
        ]
        batch = default_collate([{'inputs': item['inputs']} for item in items])
        data = self.model.data_preprocessor(batch)
        return self.model(data['inputs'], mode='tensor').softmax(-1).cpu().numpy()


def _flatten(inputs: Any) -> Iterator[Any]:
    if isinstance(inputs, str) and '://' in inputs:
        raise UserError(f'{inputs} is a URL: download it, and name the file.')
    if isinstance(inputs, str | Path):
        path = Path(inputs)
        yield from list_folder(path) if path.is_dir() else [path]
    elif isinstance(inputs, np.ndarray | Image.Image):
        yield inputs
    elif isinstance(inputs, Iterable):
        for one in inputs:
            yield from _flatten(one)
    else:
        raise UserError(
            f'{type(inputs).__name__} is no image: give a path, an array or a PIL image.'
        )


def _pixels(image: Any) -> np.ndarray:
    """Red, green and blue, (H, W, 3) uint8."""
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UserError(
                f'An array of shape {image.shape} and type {image.dtype} is no image: it is '
                '(H, W, 3), uint8.'
            )
        return image
    if isinstance(image, Image.Image):
        return np.asarray(image.convert('RGB'))
    return read_image(image)


def _name(image: Any, number: int) -> str:
    return str(image) if isinstance(image, Path) else str(number)


def _class_names(checkpoint: str) -> tuple[str, ...] | None:
    """Names of the classes that a training kept; an export to safetensors has none."""
    file = resolve_checkpoint(checkpoint)
    if file.suffix == '.safetensors':
        return None
    meta = load_checkpoint(file).get('meta') or {}
    names = (meta.get('dataset_meta') or {}).get('classes')
    return tuple(map(str, names)) if names else None


def _draw(image: np.ndarray, prediction: Prediction, path: Path) -> None:
    names, scores = zip(*reversed(prediction.top(BARS)), strict=True)
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5))
        left.imshow(image)
        left.axis('off')
        right.barh(range(len(names)), [100 * score for score in scores])
        right.set_yticks(range(len(names)), names)
        right.set_xlim(0, 100)
        right.set_xlabel('score, %')
        save_figure(figure, path)
