"""MSR-VTT: 10,000 videos from YouTube, twenty captions each."""

import os
from collections.abc import Iterator

from transmamba_mm.checks import check, one_of
from transmamba_mm.datasets.annotations import name_fault, read_csv, read_json
from transmamba_mm.datasets.retrieval.video_texts import Entry, VideoTextDataset
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

CAPTIONS = 'MSRVTT_data.json'
TRAIN_VIDEOS = 'MSRVTT_train.9k.csv'
TEST_CAPTIONS = 'MSRVTT_JSFUSION_test.csv'
UNEVEN = 'not one field for each column (a text with a comma needs quotes)'
#: Files of each split of each partition; the last holds the captions.
FILES = {
    '1k-A': {'train': (TRAIN_VIDEOS, CAPTIONS), 'test': (TEST_CAPTIONS,)},
    'full': dict.fromkeys(('train', 'val', 'test'), (CAPTIONS,)),
}


@DATASETS.register_module()
class MSRVTT(VideoTextDataset):
    """MSR-VTT (Xu et al., CVPR 2016), from the files that CLIP4Clip (arXiv 2104.08860) publishes.

    Partition ``'1k-A'``: 9,000 videos with 180,000 captions to train on and 1,000 others, with one
    caption each, to test on; it has no videos to validate on. ``'full'``: 6,513, 497 and 2,990
    videos, all with twenty captions. Videos are called ``video0`` and so on.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        partition (str): ``'1k-A'`` or ``'full'``. Defaults to ``'1k-A'``.
        data_root (str): Folder of the files and of ``videos``. Defaults to ``'data/msrvtt'``.
        **kwargs: See ``VideoTextDataset``. ``test_mode`` is set for all splits but ``'train'``.

    Raises:
        UserError: On a partition or split that does not exist, or files that cannot be read.
    """

    HELP = (
        'Put the files of https://github.com/ArrowLuo/CLIP4Clip/releases/download/v0.0/'
        'msrvtt_data.zip into {root} and the videos, video0.mp4 and so on, into {root}/videos; '
        'https://github.com/ArrowLuo/CLIP4Clip has the links.'
    )

    def __init__(
        self, split: str, partition: str = '1k-A', data_root: str = 'data/msrvtt', **kwargs
    ) -> None:
        self.split = split
        self.partition = partition
        settings = {'test_mode': split != 'train', **kwargs}
        super().__init__(self.files(split, partition)[-1], data_root=data_root, **settings)

    @classmethod
    def files(cls, split: str, partition: str = '1k-A', **kwargs) -> tuple[str, ...]:
        """Name the files of a split; the last holds the captions."""
        check('MSRVTT', 'partition', partition, one_of(*FILES))
        check(f'MSRVTT {partition}', 'split', split, one_of(*FILES[partition]))
        return FILES[partition][split]

    def entries(self, bad: list[tuple[str, str]]) -> Iterator[Entry]:
        """Read the captions of the split's videos, in the order of the list of videos."""
        if self.ann_file.endswith('.csv'):
            for place, row in read_csv(self.ann_file, ('video_id', 'sentence'), self.help()):
                fault = UNEVEN if row is None else name_fault(row['video_id'])
                if fault:
                    bad.append((place, fault))
                else:
                    yield Entry(row['video_id'], [row['sentence']], place)
            return
        content = read_json(self.ann_file, dict, self.help())
        names = self._names(content, bad)
        for name in names:
            yield Entry(name, [], name)
        for place, sentence in enumerate(_list(content, 'sentences', self.ann_file)):
            if not isinstance(sentence, dict) or not isinstance(sentence.get('video_id'), str):
                bad.append((f'sentence {place}', 'a sentence without video_id'))
            elif sentence['video_id'] in names:
                yield Entry(sentence['video_id'], [sentence.get('caption')], f'sentence {place}')

    def _names(self, content: dict, bad: list[tuple[str, str]]) -> dict[str, None]:
        """The split's videos, in order."""
        if self.partition == '1k-A':
            path = os.path.join(self.data_root, TRAIN_VIDEOS)
            rows = read_csv(path, ('video_id',), self.help())
            listed = [(f'{TRAIN_VIDEOS}, {place}', row and row['video_id']) for place, row in rows]
        else:
            split = 'validate' if self.split == 'val' else self.split
            videos = enumerate(_list(content, 'videos', self.ann_file))
            listed = [
                (f'video {place}', video.get('video_id') if isinstance(video, dict) else None)
                for place, video in videos
                if not isinstance(video, dict) or video.get('split') == split
            ]
        faults = [(place, name_fault(name)) for place, name in listed]
        bad += [(place, fault) for place, fault in faults if fault]
        return dict.fromkeys(name for _, name in listed if not name_fault(name))


def _list(content: dict, key: str, path: str) -> list:
    if not isinstance(content.get(key), list):
        raise UserError(f'{path} has no list of {key}: fetch it again from where CLIP4Clip does.')
    return content[key]
