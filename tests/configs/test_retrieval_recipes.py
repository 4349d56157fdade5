"""The recipes with a real CLIP train, on a small checkpoint and videos in the published layouts."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from transformers import CLIPConfig, CLIPModel

from tests.configs.decay import check_decay
from tests.configs.runs import run_id, runs_of
from tests.datasets.retrieval.layouts import write_didemo, write_msrvtt
from tests.models.retrieval.small_retrieval import clip_tokenizer
from tests.tools.command_line import call_tool
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import MODELS

CONFIGS = Path('configs')
PEERS = (None, 'scratch', 'logits')
WRITE = {'msrvtt': write_msrvtt, 'didemo': write_didemo}
#: All that need a checkpoint from a hub.
RUNS = [run for data in WRITE for run in runs_of(f'*_{data}.py') if run[1] in PEERS]
#: But for the vision encoder, which takes single frames.
NANO = [
    run
    for run in runs_of('*_movingdigits.py')
    if run[1] in PEERS and not run[0].stem.startswith('clip-vision')
]
STUDENTS = {'videomamba-t': 'VideoMamba', 'vim-s': 'Vim'}
CLIP = 'openai/clip-vit-base-patch32'
SIDE, FRAMES = 64, 2
ARCH = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
TRANSFORMER = {
    'hidden_size': 24,
    'intermediate_size': 32,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}


def data_of(leaf):
    return leaf.stem.rpartition('_')[2]


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A CLIP of patches of 32 pixels and 512 dimensions, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp('clip')
    tokenizer = clip_tokenizer(folder)
    text = {'vocab_size': len(tokenizer), 'eos_token_id': tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = CLIPConfig(
        projection_dim=512,
        vision_config={**TRANSFORMER, 'image_size': SIDE, 'patch_size': 32},
        text_config={**TRANSFORMER, **text, 'bos_token_id': tokenizer.bos_token_id},
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Both data sets, by name."""
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in WRITE.items()}


def load(leaf, clip, videos, folder, method=None):
    """The recipe, but for where files are, the sizes, and two steps of training."""
    cfg = read_config(leaf, method=method)
    student = cfg.model.get('student', cfg.model)
    if type_name(student) == 'Clip4ClipTeacher':
        student.checkpoint = str(clip)
    else:
        student.text.checkpoint = str(clip)
        student.vision.update(arch=ARCH, img_size=SIDE)
        if 'num_frames' in student.vision:
            student.vision.num_frames = FRAMES
    if 'teacher' in cfg.model:
        cfg.model.teacher.model.checkpoint = str(clip)
    name = data_of(leaf)
    for phase in ('train', 'val', 'test'):
        loader = cfg[f'{phase}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=12)
        loader.dataset.data_root = str(videos[name])
        decode, crop, _ = loader.dataset.pipeline
        decode.update(num_frames=FRAMES, size=SIDE)
        crop.size = SIDE
    cfg.train_cfg.max_epochs = 2  # of one batch: twelve captions, or two
    cfg.train_cfg.val_interval = 2
    cfg.param_scheduler[0].end = cfg.param_scheduler[1].begin = 1
    cfg.work_dir = str(folder / 'run')
    cfg.experiment_name = f'{folder.name}_{leaf.stem}-{method}'
    cfg.launcher = 'none'
    return cfg


def train(cfg):
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        runner = Runner.from_cfg(cfg)
        runner.train()
    return runner


@pytest.mark.parametrize('run', RUNS + NANO, ids=run_id)
def test_name_matches_student_teacher_and_data(run):
    leaf, method = run
    cfg = read_config(leaf, method=method)
    name, _, rest = leaf.stem.partition('_')
    assert data_of(leaf) == type_name(cfg.train_dataloader.dataset).lower()
    if leaf.parent.name == 'teachers':
        assert rest == data_of(leaf) and type_name(cfg.model) == 'Clip4ClipTeacher'
        assert cfg.model.get('checkpoint') == {'clip-b32': CLIP, 'clip-nano': None}[name]
        return
    student = cfg.model.get('student', cfg.model)
    kinds = {**STUDENTS, 'videomamba-nano': 'VideoMamba', 'swap': 'AttentionSwap'}
    assert (type_name(student), type_name(student.vision)) == ('VideoTextRetriever', kinds[name])
    assert run in NANO or student.text.checkpoint == CLIP
    if method == 'scratch':
        assert 'teacher' not in cfg.model
        return
    teacher = cfg.model.teacher
    assert type_name(teacher.model) == 'Clip4ClipTeacher'
    if rest.startswith('clip-nano_'):
        assert teacher.checkpoint == f'work_dirs/clip-nano_{data_of(leaf)}'
    else:
        assert rest.startswith('clip-b32_') and teacher.model.checkpoint == CLIP
    logits = method == 'logits'
    assert type_name(cfg.model.distiller) == ('LogitsDistiller' if logits else 'WSAB')
    assert (cfg.model.subcloning is None) is logits


@pytest.mark.parametrize('run', RUNS, ids=run_id)
def test_trains_two_steps_and_validates(run, clip, videos, tmp_path):
    leaf, method = run
    cfg = load(leaf, clip, videos, tmp_path, method)
    preflight(cfg, ['train', 'val'])
    runner = train(cfg)
    assert runner.iter == 2
    model, optimizer = runner.model, runner.optim_wrapper.optimizer
    # Every parameter gets a gradient, or DDP would wait for it.
    assert {id(p) for p in model.parameters()} == {id(p) for p in optimizer.state}
    names = {id(p): name for name, p in model.named_parameters()}
    check_decay(model, optimizer)
    rates = {names[id(p)]: group['lr'] for group in optimizer.param_groups for p in group['params']}
    fastest = max(rates.values())
    for name, rate in rates.items():
        slow = name.removeprefix('student.').startswith('text.')
        assert rate == pytest.approx(fastest * (1e-3 if slow else 1)), name
    assert 'val/retrieval/t2v_R1' in runner.message_hub.log_scalars
    assert list((tmp_path / 'run').glob('best_retrieval_t2v_R1_epoch_*.pth'))


@pytest.mark.parametrize('student', STUDENTS)
def test_the_student_begins_with_what_clip_has(student, clip, videos, tmp_path):
    leaf = CONFIGS / f'transmamba/{student}_clip-b32_msrvtt.py'
    cfg = load(leaf, clip, videos, tmp_path)
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
        model.init_weights()
    lines = {line.student: line for line in model.transfer_report.lines}
    assert set(lines) == set(dict(model.student.named_parameters())) - {'logit_scale'}
    teacher = CLIPModel.from_pretrained(clip).state_dict()
    ours = model.student.state_dict()
    for key in (key for key in ours if key.startswith('text')):
        theirs = teacher[key.replace('text.', 'text_model.', 1)]
        assert lines[key].status == 'cloned' and torch.equal(ours[key], theirs)
    kernel = lines['vision.patch_embed.proj.weight']
    assert '16 of 24 residual channels' in kernel.slice and 'patch 32x32 to 16x16' in kernel.slice
    assert 'grid 2x2 to 4x4' in lines['vision.pos_embed'].slice
    assert lines['visual_projection.weight'].teacher == 'vision.head.weight'
    assert [tower.name for tower in model.match.towers] == ['vision']


def test_a_teacher_that_was_trained_on_the_videos_teaches(clip, videos, tmp_path):
    train(load(CONFIGS / 'teachers/clip-b32_msrvtt.py', clip, videos, tmp_path))
    cfg = load(CONFIGS / 'transmamba/vim-s_clip-b32_msrvtt.py', clip, videos, tmp_path)
    cfg.model.teacher.checkpoint = str(tmp_path / 'run')
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    downloaded = copy.deepcopy(model.teacher.model.state_dict())
    model.init_weights()
    trained, ours = model.teacher.model.state_dict(), model.student.state_dict()
    moved = [key for key in trained if not torch.equal(trained[key], downloaded[key])]
    assert 'model.text_projection.weight' in moved
    assert torch.equal(ours['text_projection.weight'], trained['model.text_projection.weight'])


def test_what_is_trained_needs_neither_teacher_nor_clip_afterwards(clip, videos, tmp_path):
    source = shutil.copytree(clip, tmp_path / 'clip')
    leaf = CONFIGS / 'transmamba/videomamba-t_clip-b32_msrvtt.py'
    cfg = load(leaf, source, videos, tmp_path)
    train(cfg)
    cfg.dump(str(tmp_path / leaf.name))
    shutil.rmtree(source)
    with pytest.raises(UserError, match='No model at'):
        MODELS.build(cfg.model.student)
    result = call_tool('test.py', leaf.name, 'run', '--out', 'scores.json', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / 'scores.json').read_text())
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert scores and scores.items() <= last.items()
    options = ['--videos', str(videos['msrvtt'] / 'videos'), '--text', 'a dog', '--top', '2']
    result = call_tool('search_videos.py', '--checkpoint', 'run', *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert '6 videos embedded' in result.stdout
