"""A trained Transformer of any library, as a classifier of mmpretrain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageSettings:
    """How the images of a checkpoint are prepared.

    Attributes:
        mean, std (tuple[float, ...]): Per channel, of pixels 0..1.
        interpolation (str): 'bicubic', 'bilinear', ...
        classes (tuple[str, ...] | None): Names of the classes.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = 'bicubic'
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PretrainedClassifier:
    """A trained classifier: its config and weights in mmpretrain's terms.

    Attributes:
        model (dict): Config of the classifier; one without a head has ``head=None``.
        state (dict[str, Tensor]): Its weights, all of them.
        library (str): Where the checkpoint is from: 'timm', 'transformers' or 'torchvision'.
        source (str): Its path or name.
        img_size (tuple[int, int]): Height and width that it was trained with.
        images (ImageSettings): How its images are prepared.
    """

    model: dict[str, Any]
    state: dict[str, Tensor] = field(repr=False)
    library: str
    source: str
    img_size: tuple[int, int]
    images: ImageSettings = ImageSettings()

    @property
    def mean(self) -> list[float]:
        """Per channel, in 0..255 as in a ``data_preprocessor``."""
        return [round(255 * value, 4) for value in self.images.mean]

    @property
    def std(self) -> list[float]:
        """Per channel, in 0..255."""
        return [round(255 * value, 4) for value in self.images.std]

    @property
    def in_channels(self) -> int:
        """Channels of its images."""
        backbone = self.model['backbone']
        return backbone.get('in_channels') or backbone['config'].get('num_channels', 3)

    @property
    def patch_size(self) -> int:
        """Side of a patch, in pixels."""
        backbone = self.model['backbone']
        return backbone.get('patch_size') or backbone['config']['patch_size']

    @property
    def num_classes(self) -> int | None:
        """Classes of the head; None without one."""
        head = self.model['head']
        return None if head is None else head['num_classes']


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Modules in a list: one more than the highest number behind ``prefix``."""
    numbers = (
        key.removeprefix(prefix).partition('.')[0] for key in state if key.startswith(prefix)
    )
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1
