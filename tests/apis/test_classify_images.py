"""Classes of images of any kind, from a trained work_dir."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from tests.transfer.small_models import classifier
from tools.predict import main
from transmamba_mm.apis.classify_images import ImageClassifierInferencer
from transmamba_mm.errors import UserError
from transmamba_mm.launch.signed_config import sign_config
from transmamba_mm.registry import MODELS

CLASSES = ('cat', 'dog', 'Kuh')
STEPS = [
    {'type': 'transmamba_mm.LoadImage', 'on_bad': 'raise'},
    {'type': 'ResizeEdge', 'scale': 10, 'edge': 'short'},
    {'type': 'CenterCrop', 'crop_size': 8},
    {'type': 'PackInputs'},
]


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """What a training leaves: a checkpoint with the classes, and a signed config."""
    folder = tmp_path_factory.mktemp('trained')
    arch = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
    options = {'arch': arch, 'img_size': 8, 'patch_size': 2, 'in_channels': 3}
    model = classifier('transmamba_mm.Vim', 16, len(CLASSES), **options)
    cfg = Config(
        {
            'model': model,
            'default_scope': 'transmamba_mm',
            'data_preprocessor': {
                'type': 'ClsDataPreprocessor',
                'mean': [120.0] * 3,
                'std': [60.0] * 3,
                'to_rgb': True,
            },
            'test_dataloader': {'dataset': {'type': 'CustomDataset', 'pipeline': STEPS}},
        }
    )
    cfg.dump(folder / 'config.py')
    sign_config(folder / 'config.py')
    torch.manual_seed(0)
    state = MODELS.build({**model, '_scope_': 'mmpretrain'}).state_dict()
    state = {key: value + 0.2 * torch.randn_like(value) for key, value in state.items()}
    meta = {'dataset_meta': {'classes': CLASSES}}
    torch.save({'state_dict': state, 'meta': meta}, folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    return folder


@pytest.fixture(scope='module')
def classify(work_dir):
    return ImageClassifierInferencer(str(work_dir))


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(8, 8), (20, 9), (7, 30), (40, 41), (10, 10)]):
        pixels = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
        (tmp_path / 'photos/inner').mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f'photos/{"inner/" * (i % 2)}{i}.png')
    (tmp_path / 'photos/readme.txt').write_text('')
    return tmp_path / 'photos'


def test_every_kind_of_input_gives_the_same_scores(classify, photos):
    files = sorted(photos.rglob('*.png'))
    expected = classify(files)
    pictures = [Image.open(path) for path in files]
    for inputs in (str(photos), [str(path) for path in files], pictures, map(np.asarray, pictures)):
        found = classify(inputs, batch_size=2)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    assert [one.name for one in expected] == [str(path) for path in files]
    assert len({one.scores.round(4).tobytes() for one in expected}) == 5


def test_scores_are_those_of_the_model(classify, photos):
    (found,) = classify(photos / '0.png')
    pixels = torch.from_numpy(np.asarray(Image.open(photos / '0.png')).copy())
    assert pixels.shape == (8, 8, 3)
    big = np.asarray(Image.open(photos / '0.png'))[..., ::-1].copy()
    import mmcv

    big = mmcv.imresize(big, (10, 10))[1:9, 1:9, ::-1].copy()
    images = ((torch.from_numpy(big).permute(2, 0, 1)[None].float()) - 120) / 60
    with torch.no_grad():
        scores = classify.model(images, mode='tensor').softmax(-1)[0].numpy()
    np.testing.assert_allclose(found.scores, scores, rtol=1e-4)
    assert found.scores.sum() == pytest.approx(1, rel=1e-5)
    names = [name for name, _ in found.top(3)]
    assert sorted(names) == sorted(CLASSES) and names[0] == CLASSES[found.label]


def test_pictures_are_written(classify, photos, tmp_path):
    classify([photos / '0.png', photos / 'inner/1.png'], show_dir=tmp_path / 'shown')
    drawn = sorted(path.name for path in (tmp_path / 'shown').iterdir())
    assert drawn == ['0000_0.png', '0001_1.png']


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ('https://example.org/a.jpg', 'is a URL: download it'),
        ('missing.png', r'missing\.png cannot be read'),
        ([], 'no images to classify'),
        (3, 'int is no image'),
        (np.zeros((8, 8)), r'shape \(8, 8\) and type float64'),
    ],
)
def test_inputs_that_are_no_images(inputs, message, classify):
    with pytest.raises(UserError, match=message):
        classify(inputs)


def test_command(work_dir, photos, capsys):
    main([str(work_dir), str(photos), '--top', '2'])
    lines = [line for line in capsys.readouterr().out.splitlines() if '.png: ' in line]
    assert len(lines) == 5 and all(line.count('%') == 2 for line in lines)
    with pytest.raises(UserError, match=r'--top=0'):
        main([str(work_dir), str(photos), '--top', '0'])


def test_the_folder_of_a_transfer_is_its_student_s(work_dir, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/student').symlink_to(Path(work_dir), target_is_directory=True)
    assert ImageClassifierInferencer(str(tmp_path / 'mine')).classes == CLASSES
