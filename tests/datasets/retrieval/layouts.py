"""Small data sets in the published layouts, with real videos."""

import json
import shutil
from pathlib import Path

from mmengine.dataset import BaseDataset

from tests.datasets.video.clips import write_clip


def write_videos(folder: Path, *names: str, frames: int = 6) -> Path:
    """Write a short video under each name; a name may lack its suffix, then it is an mp4."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / names[0]
    clip = write_clip(first.with_suffix('.mp4'), frames)
    for name in names:
        target = folder / name if Path(name).suffix else folder / f'{name}.mp4'
        if target != clip:
            shutil.copy(clip, target)
    return folder


def write_lines(path: Path, *entries: dict | str | bytes) -> Path:
    """Write a jsonl file; text and bytes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        entry
        if isinstance(entry, bytes)
        else (entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)).encode()
        for entry in entries
    ]
    path.write_bytes(b'\n'.join(lines) + b'\n')
    return path


def items(dataset: BaseDataset) -> list[dict]:
    """The entries of a data set, without their index."""
    listed = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [{key: item[key] for key in item if key != 'sample_idx'} for item in listed]


def write_msrvtt(root: Path) -> Path:
    """Write MSR-VTT as CLIP4Clip has it: videos 0 to 5; video 5 is the test set of 1k-A."""
    write_videos(root / 'videos', *(f'video{i}' for i in range(6)))
    splits = ['train', 'train', 'train', 'validate', 'test', 'test']
    content = {
        'info': {'version': '1.0'},
        'videos': [
            {
                'category': 9,
                'url': f'https://www.youtube.com/watch?v={i}',
                'video_id': f'video{i}',
                'start time': 137.72,
                'end time': 149.44,
                'split': split,
                'id': i,
            }
            for i, split in enumerate(splits)
        ],
        'sentences': [  # not in the order of the videos, as in the published file
            {'caption': f'caption {n} of video {i}', 'video_id': f'video{i}', 'sen_id': 6 * n + i}
            for n in range(3)
            for i in (5, 0, 3, 1, 4, 2)
        ],
    }
    (root / 'MSRVTT_data.json').write_text(json.dumps(content))
    names = ''.join(f'video{i}\n' for i in (1, 0, 3, 4))
    (root / 'MSRVTT_train.9k.csv').write_text(f'video_id\n{names}')
    (root / 'MSRVTT_JSFUSION_test.csv').write_text(
        'key,vid_key,video_id,sentence\n'
        'ret0,msr5,video5,"a person, unseen, is connecting something"\n'
        'ret1,msr2,video2,a little girl does gymnastics\n'
    )
    return root


def write_didemo(root: Path) -> Path:
    """Write DiDeMo as CLIP4Clip reads it, with videos in other formats than their suffixes."""
    write_videos(root / 'videos', 'a@N00_1.mp4', 'b@N00_2.avi.mp4', 'c@N00_3.mp4')
    described = [
        ('b@N00_2.avi', 'the dog sits'),
        ('a@N00_1.mov', 'a man waves'),
        ('unlisted.mov', 'nobody asks for it'),
        ('b@N00_2.avi', 'the dog runs away '),
        ('a@N00_1.mov', 'he turns around.'),
        ('b@N00_2.avi', 'an empty lawn'),
        ('c@N00_3.mp4', 'a boat'),
    ]
    entries = [
        {
            'annotation_id': number,
            'description': text,
            'video': video,
            'times': [[0, 0], [1, 1]],
            'num_segments': 6,
        }
        for number, (video, text) in enumerate(described)
    ]
    for split in ('train', 'val', 'test'):
        (root / f'{split}_data.json').write_text(json.dumps(entries))
    (root / 'train_list.txt').write_text('a@N00_1.mov\nb@N00_2.avi\n')
    (root / 'val_list.txt').write_text('c@N00_3.mp4')
    (root / 'test_list.txt').write_text('c@N00_3.mp4\na@N00_1.mov\n\n')
    return root
