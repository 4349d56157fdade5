"""The step of a data pipeline that opens an image."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio

from transmamba_mm.checks import POSITIVE, checked, one_of
from transmamba_mm.datasets.image_pixels import read_image
from transmamba_mm.datasets.images import MAX_MEGAPIXELS, ImageError, file_fault, image_error
from transmamba_mm.datasets.skip_counter import SkipCounter
from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS

ON_BAD = ('skip', 'raise')
BLANK = (32, 32)  # height and width of a blank image; it is resized like any other


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read an image file, as :func:`transmamba_mm.datasets.image_pixels.read_image` does.

    It takes the place of mmcv's ``LoadImageFromFile``: a bad file stops no training, an image of
    too many pixels is never decoded, 16 bits are scaled to 8.

    Required keys: ``img_path``, None for an item that has no image; an item that has its ``img``
    already (mmpretrain's inferencers) stays as it is. Added keys: ``img`` (H, W, 3), uint8, in
    mmcv's order B, G, R; ``img_shape`` and ``ori_shape``, (height, width).

    Args:
        on_bad (str): What becomes of an image that cannot be read. ``'skip'``, for training: the
            item is dropped, mmengine's data sets take another at random, and ``CorruptSampleHook``
            counts. ``'raise'``, for evaluation, whose score would be that of another set: an
            error that names the file. Defaults to ``'skip'``.
        blank (Sequence[float], optional): Red, green and blue, 0..255, of the image of one color
            that an item without an image gets; the mean of ``data_preprocessor``, so the
            model's input is zero. None: such an item is an error. Defaults to None.
        max_megapixels (float): Larger images cannot be read. Defaults to 100.
        to_float32 (bool): Whether ``img`` is float32, as of mmcv. Defaults to False.
        backend_args (dict, optional): Where files are, if not on a disk: of mmengine's ``fileio``.

    Attributes:
        skipped (SkipCounter): How often ``'skip'`` was needed, in all workers.

    Raises:
        UserError: An unknown ``on_bad``, a ``max_megapixels`` that is not positive; with
            ``'raise'`` an image that cannot be read.
    """

    @checked(on_bad=one_of(*ON_BAD), max_megapixels=POSITIVE)
    def __init__(
        self,
        on_bad: str = 'skip',
        blank: Sequence[float] | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
        to_float32: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        self.on_bad = on_bad
        self.blank = blank
        self.max_megapixels = max_megapixels
        self.to_float32 = to_float32
        self.backend_args = backend_args
        self.skipped = SkipCounter('images', 'The first are named above.')

    def transform(self, results: dict) -> dict | None:
        """Add the image; None asks the data set for another item."""
        path = results.get('img_path')
        if 'img' in results and path is None:
            return results
        if path is None and self.blank is not None:
            color = np.array(self.blank[::-1]).round().astype(np.uint8)
            return self._with(results, np.broadcast_to(color, (*BLANK, 3)))
        try:
            return self._with(results, self._read(path)[..., ::-1])
        except ImageError as error:
            if self.on_bad == 'raise':
                raise UserError(
                    f'{error} Fetch it again, or remove its entry from the annotations: an '
                    'evaluation skips no sample.'
                ) from error
            self.skipped.add(str(error))
            return None

    def quick_check(self, results: dict) -> tuple[str, str]:
        """The path of an item, and its fault by the file's existence and size alone."""
        path = results.get('img_path')
        if path is None:
            has_one = self.blank is not None or 'img' in results
            return '', '' if has_one else 'An item has no image.'
        fault = None if self.backend_args else file_fault(path)
        return str(path), str(image_error(path, fault.detail)) if fault else ''

    def _read(self, path: object) -> np.ndarray:
        if path is None:
            raise image_error(path, 'the item has none')
        if not self.backend_args:
            return read_image(path, max_megapixels=self.max_megapixels)
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except OSError as error:
            raise image_error(path, str(error)) from error
        try:
            return read_image(BytesIO(content), max_megapixels=self.max_megapixels)
        except ImageError as error:
            raise image_error(path, error.reason) from error

    def _with(self, results: dict, image: np.ndarray) -> dict:
        results['img'] = np.array(image, np.float32 if self.to_float32 else np.uint8, order='C')
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(on_bad={self.on_bad!r}, blank={self.blank}, '
            f'max_megapixels={self.max_megapixels:g})'
        )
