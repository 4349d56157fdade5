"""The recipes with a real LLaVA train, on small checkpoints and data in the real formats."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
)

from tests.configs.decay import check_decay
from tests.configs.runs import TRANSFERS, run_id
from tests.configs.vqa_data import write_all
from tests.tools.command_line import call_tool
from transmamba_mm.errors import UserError
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import DATASETS, MODELS, TOKENIZERS
from transmamba_mm.transfer import FeatureKind

CONFIGS = Path('configs')
#: All that need checkpoints from a hub.
LEAVES = [leaf for leaf in TRANSFERS if leaf.match('mambavqa-*.py') and 'nano' not in leaf.stem]
SMALL = [(leaf, method) for leaf in LEAVES if '130m' in leaf.stem for method in (None, 'scratch')]
LARGER = [leaf for leaf in LEAVES if '130m' not in leaf.stem]
WORDS = ['question', ':', 'short', 'answer', 'what', 'color', 'is', 'it', '?', 'red', 'blue']
USER = ['user', 'the', 'using', 'a', 'single', 'word', 'or', 'phrase', '.', 'assistant']
VISION = {
    'image_size': 336,
    'patch_size': 112,
    'hidden_size': 16,
    'intermediate_size': 16,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}
TEXT = {
    'model_type': 'llama',
    'vocab_size': 32,
    'hidden_size': 16,
    'intermediate_size': 16,
    'num_hidden_layers': 4,
    'num_attention_heads': 2,
}


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Folders of save_pretrained: CLIP, Mamba and LLaVA, the latter two with tokenizers."""
    root = tmp_path_factory.mktemp('checkpoints')
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(**VISION)).save_pretrained(root / 'clip')
    mamba = MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(mamba).save_pretrained(root / 'mamba')
    vision = {'model_type': 'clip_vision_model', **VISION}
    llava = LlavaConfig(vision_config=vision, text_config=TEXT, image_token_index=31)
    LlavaForConditionalGeneration(llava).half().save_pretrained(root / 'llava')
    for name, words in (('mamba', WORDS), ('llava', [*USER, *WORDS])):
        tokenizer = TOKENIZERS.build({'type': 'WordTokenizer', 'words': words})
        tokenizer.save_pretrained(root / name)
    return root


@pytest.fixture
def data(tmp_path):
    """Two images in the layouts of all data sets."""
    write_all(tmp_path)
    return tmp_path


def load(path, checkpoints, data, method=None):
    cfg = read_config(path, method=method)
    student = cfg.model.get('student', cfg.model)
    student.vision.checkpoint = str(checkpoints / 'clip')
    student.language.checkpoint = str(checkpoints / 'mamba')
    if 'teacher' in cfg.model:
        cfg.model.teacher.model.checkpoint = str(checkpoints / 'llava')
        cfg.model.teacher.model.dtype = 'float32'  # half precision is slow on a CPU
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].dataset.data_root = str(data)
        cfg[name].update(num_workers=0, batch_size=1)
    cfg.train_cfg = {'by_epoch': True, 'max_epochs': 1, 'val_interval': 1}
    cfg.default_hooks.checkpoint.save_best = None
    cfg.work_dir = str(data / 'run')
    cfg.experiment_name = f'{data.name}_{cfg.filename.rpartition("/")[2]}'
    cfg.launcher = 'none'
    return cfg


def train(cfg):
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        runner = Runner.from_cfg(cfg)
        student = getattr(runner.model, 'student', runner.model)
        before = {key: value.clone() for key, value in student.state_dict().items()}
        runner.train()
    return runner, before, student.state_dict()


@pytest.mark.parametrize('leaf', LARGER, ids=lambda leaf: leaf.stem)
def test_a_larger_student_differs_in_its_language_model_alone(leaf):
    size = leaf.stem.split('_')[0].removeprefix('mambavqa-')
    larger, small = Config.fromfile(leaf), Config.fromfile(str(leaf).replace(size, '130m'))
    assert larger.student.language.checkpoint == f'state-spaces/mamba-{size}-hf'
    assert str(larger.to_dict()) == str(small.to_dict()).replace('mamba-130m', f'mamba-{size}')


@pytest.mark.parametrize('run', SMALL, ids=run_id)
def test_trains_two_steps_and_validates(run, checkpoints, data):
    leaf, method = run
    runner, before, after = train(load(leaf, checkpoints, data, method))
    assert runner.iter == 2
    check_decay(runner.model, runner.optim_wrapper.optimizer)
    moved = 'language.backbone.layers.0.mixer.in_proj.weight'
    assert not torch.equal(before[moved], after[moved])
    encoder = [key for key in before if key.startswith('vision.model.')]
    assert encoder and all(torch.equal(before[key], after[key]) for key in encoder)
    if method is None:
        model = runner.model
        assert FeatureKind.LOGITS not in model.distiller.student_kinds  # two vocabularies
        assert len(model.match.towers[0].layers) == 2
    scores = {key for key in runner.message_hub.log_scalars if key.startswith('val/')}
    assert any('acc' in key.lower() for key in scores), scores


def test_choices_are_asked_for_and_items_without_image_kept(checkpoints, data):
    cfg = load(CONFIGS / 'transmamba/mambavqa-130m_llava-1.5-7b_scienceqa.py', checkpoints, data)
    assert 'letter from the given choices' in cfg.model.teacher.model.prompt
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        model = MODELS.build({**cfg.model.student, 'data_preprocessor': cfg.data_preprocessor})
    first, second = dataset[0], dataset[1]
    assert first['data_samples'].question == (
        'What color is it?\nContext: It is what it is.\nOptions: (A) red (B) blue'
    )
    assert second['data_samples'].question == 'What color is it?\nOptions: (A) red (B) blue'
    assert [item['data_samples'].gt_answer for item in (first, second)] == ['A', 'B']
    images = model.data_preprocessor(default_collate([first, second]))['images']
    assert images[0].abs().max() > 1
    assert images[1].abs().max() < 0.01  # half a step of 256 is what rounding leaves


def test_training_leaves_unreadable_images_out_and_validation_stops(checkpoints, data):
    leaf = CONFIGS / 'transmamba/mambavqa-130m_llava-1.5-7b_vqav2.py'
    (data / 'train2014/COCO_train2014_000000000001.jpg').write_bytes(b'<html>404</html>')
    runner, *_ = train(load(leaf, checkpoints, data, 'scratch'))
    assert runner.iter == 2
    (log,) = (data / 'run').glob('*/*.log')
    assert 'unreadable images of the train data' in log.read_text()
    bad = data / 'val2014/COCO_val2014_000000000000.jpg'
    bad.write_bytes(b'')
    cfg = load(leaf, checkpoints, data, 'scratch')
    cfg.experiment_name += '_again'
    with pytest.raises(UserError, match=f'{bad.name} cannot be read'):
        train(cfg)


def test_what_is_trained_needs_neither_teacher_nor_source_afterwards(checkpoints, data):
    sources = shutil.copytree(checkpoints, data / 'sources')
    cfg = load(CONFIGS / 'transmamba/mambavqa-130m_llava-1.5-7b_vqav2.py', sources, data)
    train(cfg)
    cfg.dump(str(data / 'recipe.py'))
    shutil.rmtree(sources)
    result = call_tool('test.py', 'recipe.py', 'run', '--out', 'scores.json', cwd=data)
    assert result.returncode == 0, result.stderr
    (score,) = json.loads((data / 'scores.json').read_text()).values()
    (log,) = (data / 'run').glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert score in last.values()
    with pytest.raises(UserError, match='No model at'):
        MODELS.build(cfg.model.student)
