"""A teacher of another library as a file and a config of ours."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.convert.teachers.test_timm import make, save_folder
from tools.convert import main
from transmamba_mm.errors import UserError
from transmamba_mm.launch.signed_config import is_own_config
from transmamba_mm.transfer.teacher import FrozenTeacher


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize('kind', ['distilled', 'swin'])
def test_the_config_gives_a_teacher_with_the_logits_of_timm(kind, suffix, tmp_path, capsys):
    model = make(kind)
    folder = save_folder(model, tmp_path / 'model')
    main(['teacher', str(folder), str(tmp_path / f'mine.{suffix}')])
    assert 'timm' in capsys.readouterr().out
    assert not is_own_config(tmp_path / 'mine.py')  # no training of ours wrote it
    teacher = Config.fromfile(tmp_path / 'mine.py').teacher
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        frozen = FrozenTeacher(**teacher)
        frozen.load()
    images = torch.randn(2, 3, *teacher.img_size)
    with torch.no_grad():
        torch.testing.assert_close(frozen(images), model(images), rtol=1e-5, atol=1e-5)
    assert teacher.mean == [127.5] * 3


@pytest.mark.parametrize(
    ('src', 'dst', 'message'),
    [
        ('missing.pth', 'mine.pth', 'No checkpoint at missing.pth'),
        ('missing.pth', 'mine.txt', r'mine\.txt'),
    ],
)
def test_refused(src, dst, message, tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(UserError, match=message):
        main(['teacher', src, str(tmp_path / dst)])
