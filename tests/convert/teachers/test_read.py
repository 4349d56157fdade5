"""What is not recognized, and what a transfer makes of what is."""

import json

import pytest
import timm
import torch
from mmengine.registry import DefaultScope

from tests.convert.teachers.parity import randomize
from tests.convert.teachers.test_timm import KINDS, make, save_folder
from tests.transfer.small_models import vim_config
from transmamba_mm.convert.teachers import read_pretrained
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS


@pytest.mark.parametrize('kind', KINDS)
def test_a_transfer_from_every_kind(kind, tmp_path):
    model = make(kind)
    found = read_pretrained(save_folder(model, tmp_path / 'model'))
    torch.save(found.state, tmp_path / 'teacher.pth')
    size = found.img_size[0]
    student = vim_config(dims=32, layers=2, patch=8, classes=5, img_size=size)
    student['backbone']['in_channels'] = 3
    if kind == 'swin':  # of several widths
        student['backbone']['arch'] = {'embed_dims': 32, 'num_layers': 3, 'state_dims': 4}
    layer_map = 'uniform' if kind != 'swin' else [1, 2, 3]
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        transfer = MODELS.build(
            {
                'type': 'KnowledgeTransfer',
                'student': student,
                'teacher': {'model': found.model, 'checkpoint': str(tmp_path / 'teacher.pth')},
                'layer_map': layer_map,
                'distiller': {'type': 'WSAB'},
                'subcloning': None if kind == 'swin' else {'type': 'WeightSubcloning'},
            }
        )
        transfer.init_weights()
    images = torch.randn(2, 3, size, size)
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(i) for i in range(2)]
    losses = transfer(images, samples, mode='loss')
    assert all(torch.isfinite(value).all() for value in losses.values())
    if kind != 'swin':
        origins = {line.student: line.teacher for line in transfer.transfer_report.lines}
        assert origins['backbone.pos_embed'] == 'pos_embed'
        assert origins['backbone.blocks.1.mixer.out_proj.weight'] is not None


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (['backbone.layers.0.ln1.weight'], "resembles mmpretrain's ViT"),
        (['layer1.0.conv1.weight'], 'resembles a ResNet'),
        (['visual.class_embedding'], "resembles OpenAI's CLIP"),
        (['vit.layers.0.attention.q_proj.weight'], "resembles transformers': name its folder"),
        (['a.weight', 'b.weight'], r'first keys: a\.weight, b\.weight'),
    ],
)
def test_other_files_are_named_by_their_library(keys, message, tmp_path):
    torch.save({key: torch.zeros(2) for key in keys}, tmp_path / 'file.pth')
    with pytest.raises(UserError, match=message):
        read_pretrained(tmp_path / 'file.pth')


def without(key):
    def change(state):
        del state[key]

    return change


def added(state):
    state['blocks.0.attn.rel_pos'] = torch.zeros(2)


def longer(state):
    state['pos_embed'] = torch.zeros(1, 19, 128)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (without('blocks.0.mlp.fc1.weight'), "'layers.0.ffn.layers.0.0.weight'.* incomplete"),
        (added, r"1 keys are not timm's ViT keys: blocks\.0\.attn\.rel_pos.*DeiT and Swin"),
        (longer, '19 positions are not 1 extra tokens and a square grid'),
    ],
)
def test_incomplete_and_unknown_weights(change, message, tmp_path):
    state = make('deit').state_dict()
    change(state)
    torch.save(state, tmp_path / 'file.pth')
    with pytest.raises(UserError, match=message):
        read_pretrained(tmp_path / 'file.pth')


def test_folders_that_lack_something(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'has no config\.json'):
        read_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps({'architecture': 'x'}))
    with pytest.raises(UserError, match=r'no weights: none of model\.safetensors'):
        read_pretrained(tmp_path)
    (tmp_path / 'model.safetensors').write_bytes(b'')
    (tmp_path / 'config.json').write_text('{')
    with pytest.raises(UserError, match=r'config\.json is not readable JSON'):
        read_pretrained(tmp_path)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    for name in ('timm/not_here', 'no such/na me'):
        with pytest.raises(UserError, match=f'No checkpoint at {name}: .*local path'):
            read_pretrained(name)


def test_code_in_a_file_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / 'executed'), 'w'))

    torch.save({'model': Evil()}, tmp_path / 'file.pth')
    with pytest.raises(UserError):
        read_pretrained(tmp_path / 'file.pth')
    assert not (tmp_path / 'executed').exists()


def test_heads_are_64_wide_unless_known(tmp_path):
    """A bare file does not show them; timm's released models keep to it."""
    for name, heads in (('vit_tiny_patch16_224', 3), ('vit_small_patch16_224', 6)):
        torch.save(randomize(timm.create_model(name, depth=1)).state_dict(), tmp_path / 'a.pth')
        assert read_pretrained(tmp_path / 'a.pth').model['backbone']['arch']['num_heads'] == heads
