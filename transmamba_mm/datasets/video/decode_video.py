"""The step of a data pipeline that opens a video."""

import os
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from transmamba_mm.checks import COUNT, POSITIVE, SIDES, check, checked, one_of
from transmamba_mm.datasets.images import MAX_MEGAPIXELS
from transmamba_mm.datasets.skip_counter import SkipCounter
from transmamba_mm.datasets.video.container import check_file, check_path
from transmamba_mm.datasets.video.frame_cache import ClipInfo, FrameCache
from transmamba_mm.datasets.video.open_video import check_backend, open_video
from transmamba_mm.datasets.video.reader import FrameSize
from transmamba_mm.datasets.video.sampling import SAMPLINGS, FrameSampler
from transmamba_mm.datasets.video.video_error import VideoError, video_error
from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS

ON_BAD = ('skip', 'mark', 'raise')
FIND = 'Find them: python tools/datasets/check_videos.py DIR'


@TRANSFORMS.register_module()
class DecodeVideo(BaseTransform):
    """Read T frames of ``video_path``, a video file, an animated image or a folder of images.

    The video is opened and closed in here, so nothing that is open is ever handed to a worker.

    Required keys: ``video_path``. Added keys: ``clip`` (T, H, W, 3), uint8, RGB; ``frame_mask``
    (T,), bool, False for frames that only fill up a video of fewer than T; ``frame_indices`` (T,);
    ``img_shape`` and ``ori_shape``, (height, width) of the clip and of the video; ``is_missing``,
    whether the clip stands in for a video that cannot be read.

    Args:
        num_frames (int): T.
        sampling (str): ``'uniform'``, ``'random'`` or ``'fps'``, see ``FrameSampler``. Defaults to
            ``'uniform'``.
        size (int | tuple[int, int] | None): Scale while decoding: the short side, keeping the
            proportions, or exactly to (height, width). None leaves it. Defaults to None.
        backend (str): ``'auto'`` or ``'pyav'``, ``'decord'``, ``'frames'``. Defaults to ``'auto'``,
            which is PyAV.
        cache (dict, optional): Arguments of ``FrameCache``: ``dir``, ``max_gb`` and perhaps
            ``frames_per_segment``. With it random sampling draws from that many frames of each
            segment; the other samplings give what they give without it.
        on_bad (str): What becomes of a video that cannot be read. ``'skip'``, for training: the
            item is dropped, mmengine's data sets take another at random, and ``CorruptSampleHook``
            counts. ``'mark'``, for testing: a black clip with ``is_missing=True``, so that every
            item keeps its place; its mask is True for the first frame only. ``'raise'``: the error
            itself. Defaults to ``'skip'``.
        fps (float): Frames per second of ``sampling='fps'``. Defaults to 1.
        max_seconds (float, optional): Seconds from the beginning to sample from. Defaults to
            None, the whole video.
        max_megapixels (float): A video of larger frames cannot be read. Defaults to 100.

    Attributes:
        skipped (SkipCounter): How often ``'skip'`` or ``'mark'`` was needed, in all workers.

    Raises:
        UserError: If one of the arguments is wrong or the backend is not installed.
        VideoError: With ``on_bad='raise'``.
    """

    @checked(
        num_frames=COUNT,
        sampling=one_of(*SAMPLINGS),
        on_bad=one_of(*ON_BAD),
        fps=POSITIVE,
        max_seconds=POSITIVE,
        max_megapixels=POSITIVE,
    )
    def __init__(
        self,
        num_frames: int,
        sampling: str = 'uniform',
        size: FrameSize = None,
        backend: str = 'auto',
        cache: dict | None = None,
        on_bad: str = 'skip',
        fps: float = 1.0,
        max_seconds: float | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        check_backend(backend)
        self.sampler = FrameSampler(num_frames, sampling, fps, max_seconds)
        self.size = check_size('DecodeVideo', size)
        if on_bad == 'mark' and size is None:
            raise UserError("on_bad='mark' makes black clips: set size to their height and width.")
        self.backend = backend
        self.max_megapixels = max_megapixels
        self.cache = FrameCache(**cache) if cache else None
        self.on_bad = on_bad
        self.skipped = SkipCounter('videos', FIND)

    def transform(self, results: dict) -> dict | None:
        """Add the clip; None asks the data set for another item."""
        path = results['video_path']
        try:
            clip, indices, mask, shape = self._cached(path) if self.cache else self._decode(path)
            is_missing = False
        except VideoError as error:
            if self.on_bad == 'raise':
                raise
            self.skipped.add(str(error))
            if self.on_bad == 'skip':
                return None
            clip, indices, mask, shape = self._hole()
            is_missing = True
        results['clip'] = clip
        results['frame_indices'] = indices
        results['frame_mask'] = mask
        results['img_shape'] = clip.shape[1:3]
        results['ori_shape'] = shape
        results['is_missing'] = is_missing
        return results

    def quick_check(self, results: dict) -> tuple[str, str]:
        """The path of an item, and its fault by the first bytes alone."""
        path = results['video_path']
        try:
            check_path(path)
            if not os.path.isdir(path):
                check_file(path)
        except VideoError as error:
            return error.path, str(error)
        return str(path), ''

    def _decode(self, path: str) -> tuple:
        with open_video(path, self.backend, self.max_megapixels) as video:
            indices, mask = self.sampler(len(video), video.times)
            return video.read(indices, self.size), indices, mask, video.shape

    def _cached(self, path: str) -> tuple:
        per_segment = self.cache.frames_per_segment if self.sampler.sampling == 'random' else 1
        check_path(path)
        try:
            key = self.cache.key(path, self.sampler, self.size, per_segment)
        except (OSError, ValueError) as error:  # ValueError: a null byte, or no text
            reason = getattr(error, 'strerror', None) or error
            raise video_error(path, 'missing', reason) from error
        kept = self.cache.get(key)
        if kept is not None:
            places, mask = self.sampler.among(len(kept.info.indices))
            indices = np.array(kept.info.indices)[places]
            return kept.read(places), indices, mask, kept.info.shape
        with open_video(path, self.backend, self.max_megapixels) as video:
            indices = self.sampler.candidates(len(video), video.times, per_segment)
            frames = video.read(indices, self.size)
            shape = video.shape
        self.cache.put(key, frames, ClipInfo(tuple(indices.tolist()), shape))
        places, mask = self.sampler.among(len(indices))
        return frames[places], indices[places], mask, shape

    def _hole(self) -> tuple:
        number = self.sampler.num_frames
        shape = (self.size, self.size) if isinstance(self.size, int) else self.size
        clip = np.zeros((number, *shape, 3), np.uint8)
        return clip, np.zeros(number, np.int64), np.arange(number) < 1, shape

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.sampler}, size={self.size}, backend={self.backend!r})'


def check_size(owner: str, size: int | Sequence[int] | None) -> FrameSize:
    """The size that ``owner`` is given, as an int, (height, width) or None.

    Raises:
        UserError: It is something else, or not positive.
    """
    if size is not None:
        check(owner, 'size', size, SIDES)
    return (size[0], size[1]) if isinstance(size, Sequence) else size
