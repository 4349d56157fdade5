"""timm's models, read from files and folders as timm writes them."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.convert.teachers.parity import largest_difference, randomize
from transmamba_mm.convert.teachers import read_pretrained

VIT = {'img_size': 32, 'patch_size': 8, 'embed_dim': 128, 'depth': 2, 'num_heads': 2}
KINDS = {
    'deit': ('deit_tiny_patch16_224', VIT),
    'distilled': ('deit_tiny_distilled_patch16_224', VIT),
    'layer scale': ('deit3_small_patch16_224', VIT),
    'norm behind mean': ('vit_base_patch16_224', {**VIT, 'global_pool': 'avg', 'fc_norm': True}),
    'norm before mean': ('vit_base_patch16_224', {**VIT, 'global_pool': 'avg', 'fc_norm': False}),
    'no bias': ('vit_base_patch16_224', {**VIT, 'qkv_bias': False}),
    'registers': ('vit_small_patch14_reg4_dinov2', VIT),
    'attention pooling': ('vit_base_patch16_siglip_224', VIT),
    'mean without cls': ('vit_base_patch16_siglip_gap_224', VIT),
    'tanh': ('vit_base_patch16_224', {**VIT, 'act_layer': 'gelu_tanh'}),
    'swin': (
        'swin_tiny_patch4_window7_224',
        {'img_size': 112, 'embed_dim': 32, 'depths': (1, 2, 1), 'num_heads': (1, 2, 4)},
    ),
}
ARGUMENTS = ('num_heads', 'act_layer', 'global_pool')


def make(kind):
    name, arguments = KINDS[kind]
    return randomize(timm.create_model(name, num_classes=5, **arguments))


def save_folder(model, folder, **arguments):
    """What ``timm.models.save_for_hf`` writes."""
    size = [3, *([model.patch_embed.img_size[0]] * 2)]
    images = {**model.pretrained_cfg, 'input_size': size, 'mean': [0.5] * 3, 'std': [0.25] * 3}
    images['interpolation'] = 'bilinear'
    folder.mkdir()
    config = {'architecture': 'x', 'pretrained_cfg': images, 'model_args': arguments}
    (folder / 'config.json').write_text(json.dumps(config))
    save_file(model.state_dict(), folder / 'model.safetensors')
    return folder


@pytest.mark.parametrize('kind', KINDS)
def test_logits_of_a_folder_are_those_of_timm(kind, tmp_path):
    model, (_, arguments) = make(kind), KINDS[kind]
    given = {name: arguments[name] for name in ARGUMENTS if name in arguments}
    found = read_pretrained(save_folder(model, tmp_path / 'model', **given))
    size = arguments['img_size']
    assert largest_difference(model, found, size) < 1e-5
    assert found.library == 'timm' and found.img_size == (size, size) and found.num_classes == 5
    assert found.mean == [127.5] * 3 and found.std == [63.75] * 3
    assert found.images.interpolation == 'bilinear'


@pytest.mark.parametrize('kind', ['deit', 'distilled', 'layer scale', 'registers'])
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_logits_of_a_bare_file_are_those_of_timm(kind, suffix, tmp_path):
    model, file = make(kind), tmp_path / f'any_name.{suffix}'
    if suffix == 'pth':
        torch.save({'model': model.state_dict()}, file)  # as DeiT's are
    else:
        save_file(model.state_dict(), file)
    found = read_pretrained(file)
    assert largest_difference(model, found, 32) < 1e-5
    assert found.mean == [123.675, 116.28, 103.53]


def test_swin_of_microsoft_has_its_reductions_behind_the_stages(tmp_path):
    model = randomize(
        timm.create_model(
            'swin_tiny_patch4_window7_224', embed_dim=32, depths=(1, 1), num_heads=(1, 2)
        )
    )
    state = {
        key.replace('layers.1.downsample', 'layers.0.downsample').replace('head.fc', 'head'): value
        for key, value in model.state_dict().items()
    }
    state['layers.0.blocks.0.attn.relative_position_index'] = torch.zeros(49, 49)
    torch.save({'model': state}, tmp_path / 'swin.pth')
    assert largest_difference(model, read_pretrained(tmp_path / 'swin.pth'), 224) < 1e-5
