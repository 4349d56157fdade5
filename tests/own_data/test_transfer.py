"""From a folder of images and a teacher of timm to a student and its report: tools/transfer.py."""

import json

import numpy as np
import pytest
import timm
from PIL import Image

from tests.convert.teachers.test_timm import save_folder
from tools.transfer import main
from transmamba_mm.errors import UserError

NAMES = ('stripes', 'rows', 'Fläche 平')
COUNTS = ('teacher.py', 'student.py', 'report.html', 'curves.png', 'similarity.png')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Thirty images of three classes, and a teacher of two others."""
    root = tmp_path_factory.mktemp('own')
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        for i in range(10):
            pixels = rng.integers(0, 60, (40, 36, 3))
            pixels[slice(None, None, 4) if label == 1 else ...] += 80 if label == 1 else 0
            pixels[:, :: (4 if label == 0 else 1)] += 80 if label != 1 else 0
            path = root / 'photos' / name / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    sizes = {'img_size': 32, 'patch_size': 8, 'embed_dim': 64, 'depth': 2, 'num_heads': 1}
    teacher = timm.create_model('deit_tiny_patch16_224', num_classes=2, **sizes)
    save_folder(teacher, root / 'deit', num_heads=1)
    return root


def arguments(folder, student='vim-nano', out='mine', **options):
    given = {'data': folder / 'photos', 'teacher': folder / 'deit', 'student': student}
    given |= {'out': folder / out, 'epochs': 1, 'teacher_epochs': 1, 'batch_size': 8, **options}
    return [
        text
        for name, value in given.items()
        for text in (f'--{name.replace("_", "-")}', str(value))
    ]


def text_of(capsys):
    return ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize('student', ['vim-nano', 'swap'])
def test_a_folder_becomes_a_student_and_a_report(student, folder, capsys):
    out = folder / student
    main(arguments(folder, student, student))
    printed = text_of(capsys)
    assert '30 images of 3 classes' in printed and 'Validation images were drawn' in printed
    assert 'teacher: validation accuracy' in printed and 'student: validation accuracy' in printed
    assert {*COUNTS} <= {path.name for path in out.iterdir()}
    results = {
        name: json.loads((out / name / 'result.json').read_text())
        for name in ('teacher', 'student')
    }
    assert results['student']['steps'] == 3 and results['teacher']['steps'] == 3
    page = (out / 'report.html').read_text()
    assert f'{results["student"]["test"]["accuracy/top1"]:.2f} %' in page
    assert 'of 3 classes' not in page and 'weights are from the teacher' in page
    main(arguments(folder, student, student))
    assert '2 of 2 trainings were done before.' in text_of(capsys)


def test_a_dry_run_writes_the_configs_and_trains_nothing(folder, capsys):
    main([*arguments(folder, out='dry', size=64), '--dry-run'])
    assert 'Nothing was trained' in text_of(capsys)
    assert {path.name for path in (folder / 'dry').iterdir()} == {
        *('teacher.py', 'student.py', 'pretrained.pth')
    }
    config = (folder / 'dry/student.py').read_text()
    assert 'img_size=64' in config and "type='transmamba_mm.Vim'" in config
    with pytest.raises(UserError, match=r'teacher\.py differs from what these options give'):
        main([*arguments(folder, out='dry', size=64, teacher_epochs=2), '--dry-run'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'student': 'vim-smal'}, "Unknown student 'vim-smal'.*vim-small"),
        ({'student': 'swap', 'size': 64}, r'--size 64, but a swapped student .*\(32\)'),
        ({'epochs': 0}, '--epochs 0'),
        ({'batch_size': 25}, '--batch-size 25 exceeds the 24 images'),
        ({'teacher_epochs': 0}, 'its head has to be trained'),
        ({'data': 'nowhere'}, 'No images at nowhere'),
        ({'method': 'wsba'}, 'wsba'),
    ],
)
def test_options_that_cannot_be(options, message, folder):
    with pytest.raises(UserError, match=message):
        main([*arguments(folder, out='refused', **options), '--dry-run'])


def test_ten_images_are_too_few(folder, tmp_path):
    for name in NAMES[:2]:
        for i in range(5):
            path = tmp_path / 'few' / name / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((folder / 'photos' / NAMES[0] / f'{i}.png').read_bytes())
    with pytest.raises(UserError, match='8 images to train on, fewer than 20'):
        main(arguments(folder, data=tmp_path / 'few'))


def test_an_unreadable_validation_image_is_named(folder, tmp_path):
    root = tmp_path / 'split'
    for part in ('train', 'val'):
        for name in NAMES:
            for path in (folder / 'photos' / name).iterdir():
                copy = root / part / name / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    (root / 'val' / NAMES[1] / '3.png').write_bytes(b'no image')
    with pytest.raises(
        UserError, match=r'1 images to validate or test on cannot be read: .*3\.png'
    ):
        main(arguments(folder, data=root))
