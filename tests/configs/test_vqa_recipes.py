"""The recipes with a real LLaVA train, on small checkpoints and data in the real formats."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
)

from transmamba_mm.registry import TOKENIZERS

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
    """Two images in the layouts of VQAv2, GQA and LLaVA's conversations."""
    notes = tmp_path / 'annotations'
    notes.mkdir()
    for folder in ('train2014', 'val2014', 'train2017', 'images'):
        (tmp_path / folder).mkdir()
    questions, answers, gqa, talks = [], [], [], []
    for i, color in enumerate(('red', 'blue')):
        pixels = np.zeros((90, 120, 3), np.uint8)
        pixels[..., 2 * i] = 255
        for split in ('train2014', 'val2014'):
            name = f'COCO_{split}_{i:012d}.jpg'
            Image.fromarray(pixels).save(tmp_path / split / name)
        Image.fromarray(pixels).save(tmp_path / 'train2017' / f'{i}.jpg')
        Image.fromarray(pixels).save(tmp_path / 'images' / f'{i}.jpg')
        asked = 'What color is it?'
        questions.append({'image_id': i, 'question': asked, 'question_id': i})
        said = [{'answer': 'what'}] + [{'answer': color}] * 9
        answers.append({'image_id': i, 'question_id': i, 'answers': said})
        gqa.append({'image': f'{i}.jpg', 'question': asked, 'answer': color, 'question_id': i})
        turns = [('human', f'<image>\n{asked}'), ('gpt', color), ('human', asked), ('gpt', color)]
        spoken = [{'from': who, 'value': what} for who, what in turns]
        talks.append({'id': i, 'image': f'{i}.jpg', 'conversations': spoken})
    for split in ('train', 'val'):
        name = f'v2_OpenEnded_mscoco_{split}2014_questions.json'
        (notes / name).write_text(json.dumps({'questions': questions}))
        name = f'v2_mscoco_{split}2014_annotations.json'
        (notes / name).write_text(json.dumps({'annotations': answers}))
    for split in ('train', 'testdev'):
        (notes / f'{split}_balanced_questions.json').write_text(json.dumps(gqa))
    (notes / 'llava_instruct_150k.json').write_text(json.dumps(talks))
    return tmp_path


def load(path, checkpoints, data):
    cfg = Config.fromfile(path)
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


@pytest.mark.parametrize('name', ['vqav2', 'gqa', 'llava-instruct'])
@pytest.mark.parametrize('kind', ['transmamba/mambavqa-130m_llava-1.5-7b', 'scratch/mambavqa-130m'])
def test_trains_two_steps_and_validates(kind, name, checkpoints, data):
    cfg = load(f'configs/{kind}_{name}.py', checkpoints, data)
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        runner = Runner.from_cfg(cfg)
        before = None
        model = runner.model
        student = getattr(model, 'student', model)
        before = student.language.backbone.layers[0].mixer.in_proj.weight.detach().clone()
        eyes = student.vision.model.state_dict()
        eyes = {key: value.clone() for key, value in eyes.items()}
        runner.train()
    assert runner.iter == 2
    assert not torch.equal(before, student.language.backbone.layers[0].mixer.in_proj.weight)
    after = student.vision.model.state_dict()
    assert all(torch.equal(eyes[key], after[key]) for key in eyes)
    if 'llava-1.5' in kind:
        assert not model.distiller.uses_logits  # two vocabularies
        assert len(model.tower_pairs[0].pairs) == 2
