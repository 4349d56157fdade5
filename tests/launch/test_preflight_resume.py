"""A resumed training has to end after its checkpoint."""

import pytest
import torch
from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight

KINDS = {'iter': ('max_iters', False), 'epoch': ('max_epochs', True)}


def save(folder, kind, number):
    file = folder / f'{kind}_{number}.pth'
    torch.save({'state_dict': {'weight': torch.ones(9)}, 'meta': {'iter': 0, kind: number}}, file)
    (folder / 'last_checkpoint').write_text(str(file))
    return file


def problems(folder, end, kind='iter', named=None, **options) -> str:
    key, by_epoch = KINDS[kind]
    length = {'by_epoch': by_epoch, key: end}
    resume = {'resume': True, 'load_from': named and str(named), 'work_dir': str(folder)}
    try:
        preflight(Config({'train_cfg': length, **resume, **options}), ('train',))
    except UserError as error:
        return str(error)
    return ''


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('by', ['work_dir', 'name'])
def test_checkpoint_past_the_end(tmp_path, kind, by):
    save(tmp_path, kind, 20)
    file = save(tmp_path, kind, 40)
    named = file if by == 'name' else None
    message = problems(tmp_path, 30, kind, named)
    assert all(fact in message for fact in (str(file), f'{kind} 40', f'{KINDS[kind][0]}=30'))
    assert problems(tmp_path, 40, kind, named) == problems(tmp_path, 41, kind, named) == ''
    assert problems(tmp_path, 30, kind, named, resume=False) == ''
    assert problems(tmp_path, 30, kind, tmp_path / f'{kind}_20.pth') == ''


def test_what_counts_is_the_newest_that_is_whole(tmp_path):
    save(tmp_path, 'iter', 20)
    file = save(tmp_path, 'iter', 40)
    content = bytearray(file.read_bytes())
    content[content.index(torch.ones(9).numpy().tobytes())] ^= 1  # a weight
    file.write_bytes(content)
    assert problems(tmp_path, 30) == ''
    assert 'iter_20.pth' in problems(tmp_path, 10)


def test_nothing_to_resume(tmp_path):
    assert problems(tmp_path, 30) == ''
    (tmp_path / 'iter_40.pth').write_bytes(b'nothing')
    assert problems(tmp_path, 30) == ''
    assert 'absent.pth' in problems(tmp_path, 30, named=tmp_path / 'absent.pth')
