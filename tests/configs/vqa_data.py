"""Two images, red and blue, with questions, in the layouts of the published data sets."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = ('red', 'blue')
ASKED = 'What color is it?'


def write_all(root: Path) -> None:
    """Write every data set below ``root``, which is then the ``data_root`` of all."""
    (root / 'annotations').mkdir()
    write_images(root)
    write_coco(root / 'annotations')
    write_gqa(root / 'annotations')
    write_conversations(root / 'annotations')
    write_textvqa(root / 'annotations')
    write_vizwiz(root)
    write_scienceqa(root)


def write_images(root: Path) -> None:
    folders = ('train2014', 'val2014', 'train2017', 'images/train_images', 'train', 'val')
    for i in range(2):
        pixels = np.zeros((90, 120, 3), np.uint8)
        pixels[..., 2 * i] = 255
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            name = f'COCO_{folder}_{i:012d}.jpg' if folder.endswith('2014') else f'{i}.jpg'
            Image.fromarray(pixels).save(root / folder / name)
        Image.fromarray(pixels).save(root / 'images' / f'{i}.jpg')


def write_coco(notes: Path) -> None:
    """VQAv2 and OK-VQA."""
    questions = [{'image_id': i, 'question': ASKED, 'question_id': i} for i in range(2)]
    said = [[{'answer': 'what'}] + [{'answer': color}] * 9 for color in COLORS]
    answers = [{'image_id': i, 'question_id': i, 'answers': said[i]} for i in range(2)]
    for split in ('train', 'val'):
        for version in ('v2_', ''):
            name = f'{version}OpenEnded_mscoco_{split}2014_questions.json'
            (notes / name).write_text(json.dumps({'questions': questions}))
            name = f'{version}mscoco_{split}2014_annotations.json'
            (notes / name).write_text(json.dumps({'annotations': answers}))


def write_gqa(notes: Path) -> None:
    entries = [
        {'image': f'{i}.jpg', 'question': ASKED, 'answer': color, 'question_id': i}
        for i, color in enumerate(COLORS)
    ]
    for split in ('train', 'testdev'):
        (notes / f'{split}_balanced_questions.json').write_text(json.dumps(entries))


def write_conversations(notes: Path) -> None:
    talks = []
    for i, color in enumerate(COLORS):
        turns = [('human', f'<image>\n{ASKED}'), ('gpt', color), ('human', ASKED), ('gpt', color)]
        spoken = [{'from': who, 'value': what} for who, what in turns]
        talks.append({'id': i, 'image': f'{i}.jpg', 'conversations': spoken})
    (notes / 'llava_instruct_150k.json').write_text(json.dumps(talks))


def write_textvqa(notes: Path) -> None:
    entries = [
        {'question': ASKED, 'image_id': str(i), 'answers': ['what', *[color] * 9], 'question_id': i}
        for i, color in enumerate(COLORS)
    ]
    for split in ('train', 'val'):
        (notes / f'TextVQA_0.5.1_{split}.json').write_text(json.dumps({'data': entries}))


def write_vizwiz(root: Path) -> None:
    """Two questions with an answer and one that cannot be answered, as the annotators agree."""
    (root / 'Annotations').mkdir()
    entries = [
        {
            'image': f'{i}.jpg',
            'question': ASKED,
            'answers': [
                {'answer': 'unanswerable', 'answer_confidence': 'yes'},
                *[{'answer': color, 'answer_confidence': 'yes'}] * 9,
            ],
            'answer_type': 'other',
            'answerable': 1,
        }
        for i, color in enumerate(COLORS)
    ]
    entries.append({**entries[0], 'answer_type': 'unanswerable', 'answerable': 0})
    for split in ('train', 'val'):
        (root / 'Annotations' / f'{split}.json').write_text(json.dumps(entries))


def write_scienceqa(root: Path) -> None:
    """One question with an image and one without, for each split."""
    problems, splits = {}, {}
    described = dict.fromkeys(('task', 'topic', 'category', 'skill', 'lecture', 'solution'), '')
    for number, split in enumerate(('train', 'val', 'test')):
        splits[split] = [str(2 * number), str(2 * number + 1)]
        for i, name in enumerate(splits[split]):
            problems[name] = {
                'question': ASKED,
                'choices': list(COLORS),
                'answer': i,
                'hint': '' if i else 'It is what it is.',
                'image': None if i else 'image.png',
                'grade': 'grade2',
                'subject': 'natural science',
                'split': split,
                **described,
            }
        folder = root / 'images' / split / splits[split][0]
        folder.mkdir(parents=True)
        Image.new('RGB', (120, 90), (255, 0, 0)).save(folder / 'image.png')
    (root / 'problems.json').write_text(json.dumps(problems))
    (root / 'pid_splits.json').write_text(json.dumps(splits))
