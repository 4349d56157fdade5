"""A config beside a checkpoint is executed if this user's run wrote it, and else refused."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.apis.search_run import write_run
from transmamba_mm.apis.search_videos import VideoSearch
from transmamba_mm.apis.trained_model import find_config
from transmamba_mm.errors import UserError
from transmamba_mm.launch.signed_config import is_own_config, key_file, sign_config


@pytest.fixture
def config(tmp_path):
    file = tmp_path / 'recipe.py'
    file.write_text('a = 1\n')
    sign_config(file)
    return file


def test_own_config_stays_one_where_it_is_moved_and_copied(config, tmp_path):
    assert is_own_config(config)
    moved = shutil.copy(config, tmp_path / 'copy.py')
    config.unlink()
    assert is_own_config(moved) and Config.fromfile(moved).a == 1
    sign_config(moved)  # once more, as a resumed run does
    assert is_own_config(moved) and Path(moved).read_text().count('signed') == 1


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace('a = 1', 'a = 2'),
        lambda text: f'import os\n{text}',
        lambda text: f'{text}import os\n',
        lambda text: f'{text[:-1]}\rimport os\n',
        lambda text: text.replace('# signed: ', '# signed: 0'),
        lambda text: text.replace('# signed: ', '# signed: \u00e9'),
        lambda text: text.partition('# signed')[0],
        lambda text: f"a = '''\n{text}'''\n",
        lambda text: '',
    ],
)
def test_changed_config_is_nobody_s(config, change):
    config.write_text(change(config.read_text()))
    assert not is_own_config(config)


def test_another_user_s_config_is_foreign(config, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'other'))
    assert not is_own_config(config) and not key_file().exists()
    sign_config(config)
    assert is_own_config(config)
    assert key_file().stat().st_mode & 0o777 == 0o600


def test_key_that_others_may_read_is_none(config, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'other'))
    sign_config(config)
    os.chmod(key_file(), 0o644)
    assert not is_own_config(config)


def test_without_a_place_for_a_key_training_goes_on(config, monkeypatch, tmp_path):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'file'))
    sign_config(config)
    assert not is_own_config(config)


def test_a_user_without_a_home_trains_too(config, monkeypatch):
    """As in a container with an arbitrary user id."""

    def home():
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.delenv('XDG_STATE_HOME')
    monkeypatch.setattr(Path, 'home', home)
    sign_config(config)
    assert not is_own_config(config)


def test_config_of_the_checkpoint_s_name_comes_first(config):
    for name in ('student.pth', 'recipe.pth'):
        torch.save({}, config.with_name(name))
    config.with_name('other.py').touch()
    assert find_config(config.with_suffix('.pth')) == config
    with pytest.raises(UserError, match='holds 2 configs'):
        find_config(config.with_name('student.pth'))


def test_weights_bring_no_code(tmp_path):
    """The plant is a folder as anybody may offer it: weights, and a config that does more."""
    folder = write_run(tmp_path / 'run')
    sign = tmp_path / 'executed'
    plant = folder / 'recipe.py'
    plant.write_text(f'open({str(sign)!r}, "w")\n' + plant.read_text())
    with pytest.raises(UserError, match=r'recipe\.py was not executed.*--config .*recipe\.py'):
        VideoSearch(str(folder), device='cpu')
    assert not sign.exists()
    VideoSearch(str(folder), str(plant), device='cpu')  # named, so it is meant
    assert sign.exists()
