"""Folders and tables of one's own images."""

import shutil

import numpy as np
import pytest
from PIL import Image

from transmamba_mm.datasets import ImageFolder
from transmamba_mm.datasets.image_list import list_images
from transmamba_mm.errors import UserError

COUNTS = {'cat': 10, 'dog': 5, 'Ärger 猫': 2}


def save(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5, 3), shade, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name, count in COUNTS.items():
        for i in range(count):
            save(tmp_path / 'photos' / name / f'{i}.{"png" if i % 2 else "JPG"}', i)
    return tmp_path / 'photos'


def files(dataset):
    return {item['img_path'] for item in (dataset.get_data_info(i) for i in range(len(dataset)))}


def test_classes_are_the_folders_and_a_fifth_of_each_validates(folder):
    parts = {split: ImageFolder(str(folder), split) for split in ('train', 'val', 'test')}
    assert parts['train'].CLASSES == ('cat', 'dog', 'Ärger 猫')
    assert parts['train'].images.counts('train') == {'cat': 8, 'dog': 4, 'Ärger 猫': 1}
    assert parts['train'].images.counts('val') == {'cat': 2, 'dog': 1, 'Ärger 猫': 1}
    assert files(parts['train']).isdisjoint(files(parts['val']))
    assert len(files(parts['train']) | files(parts['val'])) == 17
    assert files(parts['test']) == files(parts['val'])
    assert 'drawn from the images to train on' in repr(parts['val'])
    for part in parts.values():
        item = part.get_data_info(0)
        assert part.CLASSES[item['gt_label']] in item['img_path']


def test_the_draw_is_always_the_same_and_moves_with_the_folder(folder):
    before = list_images(folder)
    moved = shutil.move(folder, folder.with_name('moved'))
    after = list_images(moved)
    assert (before.splits == after.splits).all() and (before.labels == after.labels).all()


@pytest.mark.parametrize('names', [('train', 'val', 'test'), ('Training', 'valid', 'testing')])
def test_parts_that_are_folders_already(names, folder):
    root = folder.with_name('split')
    for name in names:
        shutil.copytree(folder, root / name)
    found = list_images(root)
    assert not found.made_val and found.has_test
    for split in ('train', 'val', 'test'):
        assert found.counts(split) == COUNTS


def test_a_folder_of_images_to_train_on_without_others(folder):
    root = folder.with_name('root')
    shutil.copytree(folder, root / 'train')
    found = list_images(root)
    assert found.made_val and sum(found.counts('val').values()) == 4


def test_other_files_are_counted_and_hidden_ones_are_not(folder):
    (folder / 'cat/notes.txt').write_text('')
    (folder / 'cat/.DS_Store').write_text('')
    (folder / '.cache').mkdir()
    assert list_images(folder).ignored == {'.txt': 1}
    assert list_images(folder).classes == ['cat', 'dog', 'Ärger 猫']


def test_fractions_are_nested_and_keep_the_classes(folder):
    parts = [files(ImageFolder(str(folder), 'train', part)) for part in (0.25, 0.5, 1)]
    assert parts[0] < parts[1] < parts[2]
    with pytest.raises(UserError, match='only training data is subsampled'):
        ImageFolder(str(folder), 'val', 0.5)


@pytest.mark.parametrize('split', [False, True])
def test_table(split, folder):
    lines = ['image,label' + (',split' if split else '')]
    for path in sorted(folder.rglob('*.*')):
        part = f',{"valid" if path.stem == "0" else "train"}' if split else ''
        lines.append(f'"photos/{path.relative_to(folder)}",{path.parent.name}{part}')
    table = folder.with_name('table.csv')
    table.write_text('\n'.join(lines), encoding='utf-8-sig')
    found = list_images(table)
    assert found.classes == ['cat', 'dog', 'Ärger 猫'] and all(
        path.is_file() for path in found.files
    )
    assert found.made_val is not split
    assert sum(found.counts('val').values()) == (3 if split else 4)


def nothing(root):
    root.mkdir()


def other_files(root):
    (root / 'cat').mkdir(parents=True)
    (root / 'cat/a.txt').write_text('')


def one_class(root):
    save(root / 'cat/a.png')


def one_image(root):
    for name in ('cat/a', 'dog/a', 'dog/b'):
        save(root / f'{name}.png')


def unknown_class(root):
    for name in ('train/cat', 'train/dog', 'val/cat', 'val/cow'):
        save(root / f'{name}/a.png')


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda root: None, r'neither a folder nor a \.csv.*FOLDER/CLASS'),
        (nothing, r'No images in .*, nothing'),
        (other_files, r'No images in .*, only 1 \.txt'),
        (one_class, r'one class, cat: a classifier needs two'),
        (one_image, r'Class cat of .* has one image: two are needed'),
        (unknown_class, r'no images to train on of cow'),
    ],
)
def test_folders_that_cannot_be_used(make, message, tmp_path):
    make(tmp_path / 'root')
    with pytest.raises(UserError, match=message):
        ImageFolder(str(tmp_path / 'root'), 'train')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('file,label\na,b', r"columns \['file', 'label'\], not image\."),
        ('', r'columns None, not image, label\.'),
        ('image,label\na.png,cat\nb.png,', r"line 3: image='b.png', label=''"),
        ('image,label,split\na.png,cat,later', r"line 2: .* split='later'"),
        (b'image,label\n\xff\xfe,cat', r'cannot be read'),
    ],
)
def test_tables_that_cannot_be_used(text, message, tmp_path):
    table = tmp_path / 'table.csv'
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        list_images(table)
