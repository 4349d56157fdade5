"""A CLIP in OpenAI's own format is named as that, wherever it is given."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.launch.load_from import check_load_from
from transmamba_mm.models.hf.vision_encoder import load_vision_encoder
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.teacher import FrozenTeacher


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(4)

    def forward(self, x):
        return x + self.ln_1(x)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.resblocks = nn.Sequential(Block(), Block())

    def forward(self, x):
        return self.resblocks(x)


class Clip(nn.Module):
    """Small, with the names of openai/CLIP."""

    def __init__(self):
        super().__init__()
        self.visual = nn.Module()
        self.visual.transformer = Transformer()
        self.transformer = Transformer()
        self.text_projection = nn.Parameter(torch.ones(4, 4))

    def forward(self, x):
        return self.visual.transformer(x) @ self.transformer(x) @ self.text_projection


@pytest.fixture(params=['archive', 'state_dict'])
def file(request, tmp_path):
    path = tmp_path / 'ViT-L-14.pt'
    if request.param == 'archive':
        torch.jit.trace(Clip(), torch.ones(4, 4)).save(path)
    else:
        torch.save(Clip().state_dict(), path)
    return path


def build(name, **kwargs):
    return MODELS.build({'type': name, **kwargs})


def linear():
    return nn.Sequential(nn.Linear(2, 2))


def pretrained(file):
    arch = {'embed_dims': 16, 'num_layers': 1, 'state_dims': 4}
    init = {'type': 'Pretrained', 'checkpoint': str(file)}
    return build('Vim', arch=arch, img_size=32, init_cfg=init)


GIVEN = {
    'teacher': lambda file: FrozenTeacher(linear(), checkpoint=file).load(),
    'ClipVision': lambda file: build('ClipVision', checkpoint=file),
    'ClipText': lambda file: build('ClipText', checkpoint=file),
    'Clip4ClipTeacher': lambda file: build('Clip4ClipTeacher', checkpoint=file),
    'LlavaTeacher': lambda file: build('LlavaTeacher', checkpoint=file, tokenizer=None),
    'vision_checkpoint': lambda file: load_vision_encoder(linear(), file),
    'load_from': lambda file: check_load_from(Config({'load_from': str(file)}), linear()),
    'init_cfg': lambda file: check_load_from(Config({}), pretrained(file)),
    'init_cfg of another tool': lambda file: pretrained(file).init_weights(),
}


@pytest.mark.parametrize('place', GIVEN)
def test_the_message_is_about_clip(place, file):
    with pytest.raises(UserError) as error:
        GIVEN[place](file)
    text = str(error.value)
    assert str(file) in text and "OpenAI's own format" in text
    assert 'openai/clip-vit-large-patch14' in text
    assert '\n' not in text and 'language model' not in text


def test_another_archive_is_no_clip(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / 'model.pt')
    with pytest.raises(UserError, match=r'model\.pt is a TorchScript archive') as error:
        load_checkpoint(tmp_path / 'model.pt')
    assert 'CLIP' not in str(error.value)


def test_a_file_of_weights_is_no_folder_of_transformers(tmp_path):
    torch.save({'weight': torch.ones(1)}, tmp_path / 'weights.pth')
    with pytest.raises(UserError, match=r'weights\.pth is a file.*save_pretrained'):
        build('ClipVision', checkpoint=tmp_path / 'weights.pth')
