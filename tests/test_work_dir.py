"""The newest checkpoint that is whole, whatever happened to the folder."""

import logging
import shutil

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from transmamba_mm.checkpoint import load_checkpoint, newest_checkpoint, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.work_dir import checkpoints_in


def save(folder, *names: str, note: str | None = 'absolute') -> None:
    for name in names:
        torch.save({'state_dict': {'weight': torch.randn(64)}, 'name': name}, folder / name)
    if note is not None:
        (folder / 'last_checkpoint').write_text(str(folder / names[-1]))


def flip(file, place: int, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


def flip_a_weight(file) -> None:
    weights = load_checkpoint(file)['state_dict']['weight'].numpy().tobytes()
    flip(file, file.read_bytes().index(weights) + 100, 6)


DAMAGE = {
    'empty': lambda file: file.write_bytes(b''),
    'truncated': lambda file: file.write_bytes(file.read_bytes()[:-300]),
    'cut to a few bytes': lambda file: file.write_bytes(file.read_bytes()[:40]),
    'not one': lambda file: file.write_bytes(b'hello' * 100),
    'a flipped bit in a weight': flip_a_weight,
    'zeros': lambda file: file.write_bytes(bytes(file.stat().st_size)),
    'a list': lambda file: torch.save([1, 2], file),
}


@pytest.fixture
def warnings(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize('damage', DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, damage, warnings):
    save(tmp_path, 'iter_9.pth', 'iter_10.pth')
    damage(tmp_path / 'iter_10.pth')
    assert resolve_checkpoint(tmp_path) == newest_checkpoint(tmp_path) == tmp_path / 'iter_9.pth'
    text = warnings()[-1]
    assert str(tmp_path / 'iter_10.pth') in text and str(tmp_path / 'iter_9.pth') in text
    with pytest.raises(UserError, match=r'iter_10\.pth'):
        load_checkpoint(tmp_path / 'iter_10.pth')


@pytest.mark.parametrize(
    'note',
    [None, '', '\n', '\0\0\0', '/moved/from/here/iter_10.pth', 'iter_12.pth', 'x' * 5000, '.', '/'],
    ids=lambda note: repr(note)[:12],
)
def test_last_checkpoint_is_no_obstacle(tmp_path, note):
    save(tmp_path, 'iter_9.pth', 'iter_10.pth', 'best_acc_iter_99.pth', note=None)
    if note is not None:
        (tmp_path / 'last_checkpoint').write_text(note)
    assert resolve_checkpoint(tmp_path) == tmp_path / 'iter_10.pth'


def test_last_checkpoint_that_is_no_text(tmp_path):
    save(tmp_path, 'iter_10.pth', note=None)
    (tmp_path / 'last_checkpoint').write_bytes(b'\xff\xfe\x80')
    assert resolve_checkpoint(tmp_path) == tmp_path / 'iter_10.pth'


def test_the_note_decides_and_then_what_is_before_it(tmp_path):
    save(tmp_path, 'epoch_2.pth', 'epoch_1_iter_7.pth', 'epoch_10.pth', 'epoch_3.pth')
    names = ['epoch_3', 'epoch_2', 'epoch_1_iter_7', 'epoch_10']
    assert [path.stem for path in checkpoints_in(tmp_path)] == names
    (tmp_path / 'last_checkpoint').unlink()
    names = ['epoch_10', 'epoch_3', 'epoch_2', 'epoch_1_iter_7']
    assert [path.stem for path in checkpoints_in(tmp_path)] == names


def test_a_copy_of_a_folder_has_its_own_checkpoints(tmp_path):
    (tmp_path / 'first').mkdir()
    save(tmp_path / 'first', 'iter_1.pth')
    shutil.copytree(tmp_path / 'first', tmp_path / 'copy')
    assert resolve_checkpoint(tmp_path / 'copy') == tmp_path / 'copy/iter_1.pth'


def test_a_copy_without_its_newest_does_not_search_the_first(tmp_path):
    (tmp_path / 'first').mkdir()
    save(tmp_path / 'first', 'iter_1.pth', 'iter_2.pth')
    shutil.copytree(tmp_path / 'first', tmp_path / 'copy')
    (tmp_path / 'copy/iter_2.pth').unlink()
    assert resolve_checkpoint(tmp_path / 'copy') == tmp_path / 'copy/iter_1.pth'


def test_checkpoints_may_lie_in_another_folder(tmp_path):
    for name in ('run', 'disk'):
        (tmp_path / name).mkdir()
    save(tmp_path / 'disk', 'iter_1.pth', 'iter_2.pth')
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'disk/iter_2.pth'))
    assert resolve_checkpoint(tmp_path / 'run') == tmp_path / 'disk/iter_2.pth'
    (tmp_path / 'disk/iter_2.pth').write_bytes(b'')
    assert resolve_checkpoint(tmp_path / 'run') == tmp_path / 'disk/iter_1.pth'


def test_none_whole_is_one_message_that_names_all(tmp_path):
    save(tmp_path, 'iter_1.pth', 'iter_2.pth')
    for name in ('iter_1.pth', 'iter_2.pth'):
        (tmp_path / name).write_bytes(b'')
    with pytest.raises(UserError, match=r'iter_2\.pth .*empty.*iter_1\.pth .*empty'):
        newest_checkpoint(tmp_path)


def test_what_cannot_be_resumed_is_passed_over(tmp_path):
    save(tmp_path, 'iter_2.pth', note=None)
    assert newest_checkpoint(tmp_path, ('optimizer',)) is None
    torch.save({'optimizer': {}}, tmp_path / 'iter_1.pth')
    assert newest_checkpoint(tmp_path, ('optimizer',)) == tmp_path / 'iter_1.pth'


def test_no_flipped_bit_anywhere_in_a_file_is_loaded_as_a_weight(tmp_path):
    file = tmp_path / 'iter_1.pth'
    save(tmp_path, file.name)
    content = file.read_bytes()
    weight = load_checkpoint(file)['state_dict']['weight']
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(len(content), size=400):
        flip(file, place, int(rng.integers(8)))
        try:
            loaded = load_checkpoint(file)
        except UserError:
            refused += 1
        else:
            assert torch.equal(loaded['state_dict']['weight'], weight), place
            assert loaded['name'] == 'iter_1.pth'
        file.write_bytes(content)
    assert refused > 100
