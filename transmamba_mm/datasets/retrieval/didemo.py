"""DiDeMo: 10,000 videos from Flickr, a paragraph each."""

import os
from collections.abc import Iterator

from transmamba_mm.checks import check, one_of
from transmamba_mm.datasets.annotations import name_fault, read_json, read_text
from transmamba_mm.datasets.retrieval.video_texts import Entry, VideoTextDataset
from transmamba_mm.registry import DATASETS

SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class DiDeMo(VideoTextDataset):
    """DiDeMo (arXiv 1708.01641) as CLIP4Clip (arXiv 2104.08860) reads it: paragraphs and videos.

    A video has several descriptions of its moments; in the order of the file they make its one
    text. About 8,400 videos are to train on, 1,070 to validate and 1,000 to test on.

    A split is ``<split>_list.txt``, a video per line, and ``<split>_data.json``, a list of objects
    with ``video`` and ``description``. The videos' format may differ from their
    suffix.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        data_root (str): Folder of the files and of ``videos``. Defaults to ``'data/didemo'``.
        **kwargs: See ``VideoTextDataset``. ``test_mode`` is set for all splits but ``'train'``.

    Raises:
        UserError: On an unknown split, or files that cannot be read.
    """

    HELP = (
        'Put train_data.json, val_data.json, test_data.json of '
        'https://github.com/LisaAnne/LocalizingMoments and train_list.txt, val_list.txt, '
        'test_list.txt of https://github.com/albanie/collaborative-experts (misc/datasets/didemo) '
        'into {root}, and the videos into {root}/videos.'
    )
    PARAGRAPHS = True

    def __init__(self, split: str, data_root: str = 'data/didemo', **kwargs) -> None:
        self.split = split
        settings = {'test_mode': split != 'train', **kwargs}
        super().__init__(self.files(split)[-1], data_root=data_root, **settings)

    @classmethod
    def files(cls, split: str, **kwargs) -> tuple[str, ...]:
        """Name the files of a split; the last holds the captions."""
        check('DiDeMo', 'split', split, one_of(*SPLITS))
        return f'{split}_list.txt', f'{split}_data.json'

    def entries(self, bad: list[tuple[str, str]]) -> Iterator[Entry]:
        """Read the descriptions of the listed videos, in the order of the list."""
        path = os.path.join(self.data_root, self.files(self.split)[0])
        lines = (line.strip() for line in read_text(path, self.help()).split('\n'))
        listed = [(f'{os.path.basename(path)}, line {i}', line) for i, line in enumerate(lines, 1)]
        faults = [(place, name_fault(line)) for place, line in listed if line]
        bad += [(place, fault) for place, fault in faults if fault]
        names = dict.fromkeys(line for _, line in listed if not name_fault(line))
        for name in names:
            yield Entry(name, [], name)
        for place, content in enumerate(read_json(self.ann_file, list, self.help())):
            video = content.get('video') if isinstance(content, dict) else None
            if not isinstance(video, str):
                bad.append((f'entry {place}', 'a description without video'))
            elif video in names:
                yield Entry(video, [content.get('description')], f'entry {place}')
