"""Base class of text-video retrieval data sets."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

import numpy as np
from mmengine.dataset import BaseDataset

from transmamba_mm.checks import FLAG, SEED, SHARE, checked, one_of
from transmamba_mm.datasets.annotations import is_unicode
from transmamba_mm.datasets.retrieval.find_video import VideoFinder
from transmamba_mm.datasets.skipped_entries import ON_BAD, report_bad
from transmamba_mm.datasets.subset import take_fraction
from transmamba_mm.datasets.video.container import VIDEO_SUFFIXES
from transmamba_mm.errors import UserError

BLANK = ('Zs', 'Zl', 'Zp', 'Cc', 'Cf')  # Unicode's categories of signs that show nothing
PREFIX = {'video_path': 'videos'}


@dataclass(frozen=True)
class Entry:
    """Captions of one video, as a file gives them; several entries may be of one video."""

    video: str
    captions: Sequence[object]
    place: str  # where in the file, for messages
    meaning: str | None = None  # shared by all of its captions, whatever their wording


class VideoTextDataset(BaseDataset):
    """Videos, each with one or many texts.

    For training an item is a caption: ``video_path``, ``video_id`` (its name in the file),
    ``text`` and ``caption_id``; captions of one video or of one ``caption_id`` are
    positives of each other in a contrastive loss. In test mode an item is a video: ``video_path``,
    ``video_id`` and ``text``, the list of all its texts.

    Texts are kept as they are, in any script, but for white space around them. Blank ones are left
    out. Where ``PARAGRAPHS``, those of a video are joined into one.

    A video that is not on the disk is left out of training. In test mode it keeps its place, for
    ``DecodeVideo(on_bad='mark')`` and a metric that counts missing videos, and so does a video
    without a text, for the others to be confused with.

    A ``fraction`` of the training data is one of the videos, with all of their captions, and
    nested: with one ``seed``, every video of a smaller fraction is in each larger one.

    Args:
        ann_file (str): The captions, below ``data_root`` unless absolute.
        data_root (str): Folder that the other paths are below.
        data_prefix (dict): ``video_path``: folder of the videos. Defaults to ``'videos'``.
        suffixes (Sequence[str]): Suffixes to try for a video whose name in the annotations has
            none, or another one. A video may also be a folder of frames.
        fraction (float): Share of the training videos to keep, in (0, 1].
        seed (int): Which nested sequence of subsets. Defaults to 0.
        on_bad (str): What to do with unusable entries: ``'skip'`` with one warning that counts
            it by cause, or ``'raise'``.
        pipeline, test_mode, ...: As in mmengine's ``BaseDataset``.

    Raises:
        UserError: If a file is missing or malformed, on a fraction outside (0, 1] or
            of test data, on bad entries with ``on_bad='raise'``, or if no video is left.
    """

    #: Where the data comes from; ``{root}`` is its folder.
    HELP = 'Correct data_root and ann_file.'
    #: Whether all captions of a video make one text.
    PARAGRAPHS = False

    @checked(fraction=SHARE, seed=SEED, on_bad=one_of(*ON_BAD), test_mode=FLAG)
    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict | None = None,
        suffixes: Sequence[str] = VIDEO_SUFFIXES,
        fraction: float = 1.0,
        seed: int = 0,
        on_bad: str = 'skip',
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        if test_mode and fraction != 1:
            raise UserError('Only training data is subsampled: leave the test fraction at 1.')
        if 'video_path' not in (data_prefix or PREFIX):
            raise UserError(
                f'data_prefix={data_prefix} has no video_path, the folder of the videos.'
            )
        self.suffixes = suffixes
        self.fraction = fraction
        self.seed = seed
        self.on_bad = on_bad
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix or PREFIX,
            test_mode=test_mode,
            **kwargs,
        )

    @classmethod
    def files(cls, **kwargs) -> tuple[str, ...]:
        """Name the files below ``data_root`` that a data set of these arguments is read from."""
        return (kwargs['ann_file'],)

    @classmethod
    def attributes(cls, text: str) -> dict[str, str]:
        """Attributes of a video that its caption names, name -> value; by default none.

        ``tools/analysis/retrieval_errors.py`` scores each of them.
        """
        return {}

    @abstractmethod
    def entries(self, bad: list[tuple[str, str]]) -> Iterator[Entry]:
        """Read the captions in the order of the file; append malformed ones to ``bad``."""

    def load_data_list(self) -> list[dict]:
        """Read the captions and find the videos: one dict per caption, or per video."""
        bad: list[tuple[str, str]] = []
        texts = self._texts(bad)
        bad += [(name, 'a video without a caption') for name in texts if not texts[name]]
        if not any(texts.values()):
            first = f', the first: {bad[0][0]}: {bad[0][1]}' if bad else ''
            raise UserError(f'{self.ann_file} has no caption (bad entries: {len(bad)}{first}).')
        if not self.test_mode:
            texts = self._thinned({name: own for name, own in texts.items() if own})
        find = VideoFinder(self.data_prefix['video_path'], self.suffixes)
        found = {name: find(name) for name in texts}
        if not any(exists for _, exists in found.values()):
            folder, path = self.data_prefix['video_path'], next(iter(found.values()))[0]
            raise UserError(
                f'None of the {len(found)} videos of {self.ann_file} is in {folder} (first '
                f'candidate: {path}): correct data_prefix.video_path. {self.help()}'
            )
        gone = [path for path, exists in found.values() if not exists]
        bad += [(path, 'a missing video') for path in gone]
        if self.test_mode:
            fate = 'Bad texts are skipped, their videos kept; absent videos count as missing.'
            report_bad(self.ann_file, bad, self.on_bad, fate)
            return [
                {'video_path': found[name][0], 'video_id': name, 'text': [text for _, text in own]}
                for name, own in texts.items()
            ]
        report_bad(self.ann_file, bad, self.on_bad)
        return [
            {'video_path': path, 'video_id': name, 'text': text, 'caption_id': caption_id}
            for name, (path, exists) in found.items()
            if exists
            for caption_id, text in texts[name]
        ]

    def _texts(self, bad: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
        """Each video's captions: pairs of a name, equal for equal meanings, and a text."""
        texts: dict[str, list[tuple[str, str]]] = {}
        for entry in self.entries(bad):
            own = texts.setdefault(entry.video, [])
            for caption in entry.captions:
                fault = _fault(caption)
                if fault:
                    bad.append((entry.place, fault))
                else:
                    caption_id = entry.meaning or f'{entry.video}#{len(own)}'
                    own.append((caption_id, str(caption).strip()))
        if self.PARAGRAPHS:
            return {
                name: [(own[0][0], ' '.join(text for _, text in own))] if own else []
                for name, own in texts.items()
            }
        return texts

    def _thinned(self, texts: dict[str, list]) -> dict[str, list]:
        """Keep a fraction of the videos, in their order."""
        names = list(texts)
        order = np.random.default_rng(self.seed).permutation(len(names))
        return {names[i]: texts[names[i]] for i in sorted(take_fraction(order, self.fraction))}

    def help(self) -> str:
        """Advice on where to get the data."""
        return self.HELP.format(root=self.data_root)


def _fault(caption: object) -> str | None:
    """The fault of a caption, if any."""
    if not isinstance(caption, str):
        return 'a caption that is not text'
    if all(category(sign) in BLANK for sign in caption):
        return 'a blank caption'
    return None if is_unicode(caption) else 'a caption that is not Unicode'
