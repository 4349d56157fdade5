"""Which tower and which attribute costs a student its recall, on small models and real videos."""

from pathlib import Path

import pytest
import torch

from tests.models.retrieval.small_retrieval import CLIP, MAMBA_LM, VIDEO_MAMBA
from tests.tools.command_line import call_tool
from tests.transfer.small_models import trained, vim_config
from transmamba_mm.apis.retrieval_errors import retrieval_errors
from transmamba_mm.datasets.make_moving_digits import make_moving_digits
from transmamba_mm.errors import UserError
from transmamba_mm.launch.read_config import read_config

LEAF = Path('configs/transmamba/videomamba-nano_clip-nano_movingdigits.py').absolute()
WORDS = {'type': 'WordTokenizer', 'words': 'MovingDigits'}
TEACHER = {
    'type': 'Clip4ClipTeacher',
    'config': {**CLIP, 'text_config': {**CLIP['text_config'], 'vocab_size': 48}},
    'tokenizer': WORDS,
}
STUDENT = {
    'type': 'VideoTextRetriever',
    'vision': {**VIDEO_MAMBA, 'out_type': 'avg_featmap'},
    'text': {**MAMBA_LM, 'config': {**MAMBA_LM['config'], 'vocab_size': 48}},
    'embed_dims': 10,
    'tokenizer': WORDS,
}
PAIRS = [('student', 'student'), ('student', 'teacher'), ('teacher', 'student')]
NAMES = ['digit', 'size', 'speed', 'path']


def save(model, path):
    torch.manual_seed(len(path.name))
    state = trained(model).state_dict()
    torch.save(state, path)
    return state


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Videos, a teacher, a student, the same one in a transfer, and another teacher."""
    folder = tmp_path_factory.mktemp('retrieval')
    list(make_moving_digits(folder / 'data', {'train': 4, 'val': 24, 'test': 16}))
    save(TEACHER, folder / 'teacher.pth')
    save(TEACHER, folder / 'other teacher.pth')
    state = save(STUDENT, folder / 'student.pth')
    inside = {f'student.{key}': value for key, value in state.items()}
    torch.save({'state_dict': inside}, folder / 'transfer.pth')
    return folder


@pytest.fixture
def cfg(folder):
    cfg = read_config(LEAF)
    cfg.model.student, cfg.model.teacher.model = STUDENT, TEACHER
    cfg.model.teacher.checkpoint = str(folder / 'teacher.pth')
    for phase in ('val', 'test'):
        loader = cfg[f'{phase}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=7)
        loader.dataset.data_root = str(folder / 'data')
        loader.dataset.pipeline[0].size = 8
    return cfg


def test_each_tower_stands_beside_the_teachers_other(cfg, folder):
    names = ('student.pth', 'transfer.pth')
    teacher, *rows = retrieval_errors(cfg, {name: str(folder / name) for name in names})
    assert (teacher.title, teacher.video, teacher.text) == ('teacher', 'teacher', 'teacher')
    assert [(row.video, row.text) for row in rows] == PAIRS * 2
    assert [row.title for row in rows] == ['student.pth'] * 3 + ['transfer.pth'] * 3
    scores = [(row.t2v, row.v2t, row.attributes) for row in rows]
    assert scores[:3] == scores[3:]
    for row in (teacher, *rows):
        assert list(row.attributes) == NAMES
        assert row.t2v <= min(row.attributes.values())  # the right video has all of them


def test_the_teacher_as_its_own_student_scores_the_same_everywhere(cfg, folder):
    cfg.model.student = TEACHER
    teacher, *rows = retrieval_errors(cfg, {'itself': str(folder / 'teacher.pth')})
    own = teacher.t2v, teacher.v2t, teacher.attributes
    assert [(row.t2v, row.v2t, row.attributes) for row in rows] == [own] * 3
    _, other, *_ = retrieval_errors(cfg, {'other': str(folder / 'other teacher.pth')})
    assert (other.t2v, other.v2t, other.attributes) != own


def test_videos_to_choose_on_and_to_test_on(cfg):
    val, test = (retrieval_errors(cfg, {}, phase)[0] for phase in ('val', 'test'))
    assert val != test
    with pytest.raises(UserError, match="phase='train'"):
        retrieval_errors(cfg, {}, 'train')
    cfg.test_dataloader = None
    with pytest.raises(UserError, match='no test_dataloader'):
        retrieval_errors(cfg, {}, 'test')


def test_what_cannot_be_compared(cfg, folder, tmp_path):
    cfg.model.student = {**STUDENT, 'embed_dims': 6}
    save(cfg.model.student, tmp_path / 'narrow.pth')
    with pytest.raises(UserError, match='6 dimensions and the teacher in 10'):
        retrieval_errors(cfg, {'narrow': str(tmp_path / 'narrow.pth')})
    with pytest.raises(UserError, match='does not fit'):
        retrieval_errors(cfg, {'other': str(folder / 'student.pth')})
    cfg.model.student = vim_config()
    with pytest.raises(UserError, match='ImageClassifier does not embed'):
        retrieval_errors(cfg, {'images': str(folder / 'student.pth')})
    del cfg.model['teacher']
    with pytest.raises(UserError, match='has no teacher'):
        retrieval_errors(cfg, {})


def test_a_video_that_cannot_be_read_is_an_error(cfg, tmp_path):
    list(make_moving_digits(tmp_path / 'data', {'train': 1, 'val': 3}))
    cfg.val_dataloader.dataset.data_root = str(tmp_path / 'data')
    (tmp_path / 'data/val/videos/00001.mp4').write_bytes(b'broken')
    with pytest.raises(UserError, match=r'00001\.mp4 cannot be read'):
        retrieval_errors(cfg, {})


def test_tool_prints_a_table(cfg, folder, tmp_path):
    cfg.dump(str(tmp_path / 'small.py'))
    checkpoint = str(folder / 'transfer.pth')
    tool = 'analysis/retrieval_errors.py'
    done = call_tool(tool, 'small.py', checkpoint, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ('R@1 in %, val', 't2v R@1', *NAMES))
    assert done.stdout.count(checkpoint) == 3
