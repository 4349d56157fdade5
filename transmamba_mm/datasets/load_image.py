"""The step of a data pipeline that opens an image."""

import errno
import os
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile

from transmamba_mm.datasets.bad_item_count import BadItemCount
from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS

ON_BAD = ('skip', 'raise')
BLANK = (32, 32)  # height and width of a blank image; it is resized like any other
#: What mmcv raises: no file or no permission, an empty file, half an image or something else.
UNREADABLE = (OSError, cv2.error, AssertionError)


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which one image that cannot be read does not stop.

    Required keys: ``img_path``, None for an item that has no image. Added keys: ``img``,
    ``img_shape`` and ``ori_shape``, as mmcv's.

    Args:
        on_bad (str): What becomes of an image that cannot be read. ``'skip'``, for training: the
            item is dropped, mmengine's data sets take another at random, and ``BadItemHook`` tells
            how often. ``'raise'``, for evaluation, whose score would be that of another set: an
            error that names the file. Defaults to ``'skip'``.
        blank (Sequence[float], optional): Red, green and blue, 0..255, of the image of one color
            that an item without an image gets; the mean of ``data_preprocessor``, and the model
            sees zeros. None: such an item is one that cannot be read. Defaults to None.
        **kwargs: See mmcv's ``LoadImageFromFile``.

    Attributes:
        bad_items (BadItemCount): How often ``'skip'`` was needed, in all workers.

    Raises:
        UserError: An unknown ``on_bad``; with ``'raise'`` an image that cannot be read.
    """

    def __init__(
        self, on_bad: str = 'skip', blank: Sequence[float] | None = None, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if on_bad not in ON_BAD:
            raise UserError(f'on_bad={on_bad!r} is unknown: choose one of {ON_BAD}.')
        self.on_bad = on_bad
        self.blank = blank
        self.bad_items = BadItemCount('an image', 'The first are named above.')

    def transform(self, results: dict) -> dict | None:
        """Add the image; None asks the data set for another item."""
        path = results.get('img_path')
        if path is None and self.blank is not None:
            return self._without_image(results)
        try:
            if path is None:
                raise FileNotFoundError(errno.ENOENT, 'the item has none')
            return super().transform(results)
        except UNREADABLE as error:
            reason = getattr(error, 'strerror', None) or 'it is empty, damaged or no image'
            message = f'The image {path} cannot be read ({reason}).'
            if self.on_bad == 'raise':
                raise UserError(
                    f'{message} Fetch it again, or take its question out of the annotations: an '
                    'evaluation leaves nothing out.'
                ) from error
            self.bad_items.add(message)
            return None

    def glance(self, results: dict) -> tuple[str, str]:
        """The path of an item, and what is wrong with it as far as the disk's directory tells."""
        path = results.get('img_path')
        if path is None:
            return '', '' if self.blank is not None else 'An item has no image.'
        if self.backend_args or self.file_client_args:  # it is not on a disk
            return path, ''
        try:
            fault = '' if os.stat(path).st_size else 'it is empty'
        except OSError as error:
            fault = error.strerror
        return path, f'The image {path} cannot be read ({fault}).' if fault else ''

    def _without_image(self, results: dict) -> dict:
        color = np.array(self.blank[::-1]).round().astype(np.uint8)  # mmcv's order is B, G, R
        results['img'] = np.broadcast_to(color, (*BLANK, 3)).copy()
        results['img_shape'] = results['ori_shape'] = BLANK
        return results

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, on_bad={self.on_bad!r}, blank={self.blank})'
