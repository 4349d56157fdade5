"""Checkpoints of another image size or clip length: positions are resized, not lost."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint

from tests.transfer.small_models import (
    plainmamba_config,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import insert_tokens
from transmamba_mm.registry import MODELS

CLS = {
    'middle': lambda patches: [patches // 2],
    'first': lambda patches: [0],
    'both': lambda patches: [0, patches + 1],
    'none': lambda patches: [],
}
MODELS_OF = {
    **{
        f'vim-{name}': (lambda name=name, **kw: vim_config(backbone={'cls_position': name}, **kw))
        for name in CLS
    },
    'plainmamba': plainmamba_config,
    'videomamba': videomamba_config,
}


@pytest.fixture
def logged(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def cls_index(name):
    return CLS[{'plainmamba': 'none', 'videomamba': 'first'}.get(name, name.partition('-')[2])]


def resized(positions, name, source=4, target=6):
    """By hand: the patches' entries bicubically, those of cls tokens at their places."""
    places = cls_index(name)(source**2)
    keep = [i for i in range(positions.shape[1]) if i not in places]
    image = positions[:, keep].transpose(1, 2).unflatten(2, (source, source))
    image = F.interpolate(image, size=(target, target), mode='bicubic', align_corners=False)
    patches = image.flatten(2).transpose(1, 2)
    return insert_tokens(patches, positions[:, places], cls_index(name)(target**2))


def load_state_dict(model, file):
    model.load_state_dict(torch.load(file, weights_only=True)['state_dict'])
    return model


def load_from(model, file):
    load_checkpoint(model, str(file), map_location='cpu')
    return model


def pretrained(model, file):
    model.init_cfg = {'type': 'Pretrained', 'checkpoint': str(file)}
    model.init_weights()
    return model


@pytest.mark.parametrize('load', [load_state_dict, load_from, pretrained])
@pytest.mark.parametrize('name', MODELS_OF)
def test_a_larger_image_continues_the_smaller_model(name, load, tmp_path, logged):
    """A model on a larger image at run time equals the larger model."""
    torch.manual_seed(0)
    small = trained(MODELS_OF[name](img_size=8)).eval()
    torch.save({'state_dict': small.state_dict()}, tmp_path / 'small.pth')
    large = MODELS.build(MODELS_OF[name](img_size=12))
    load(large, tmp_path / 'small.pth')
    assert 'pos_embed resized from 4x4 to 6x6.' in logged.text
    expected = resized(small.backbone.pos_embed, name)
    torch.testing.assert_close(large.backbone.pos_embed, expected)
    images = torch.randn(2, 1, 12, 12)
    torch.testing.assert_close(large.eval()(images), small(images))
    assert small.backbone.pos_embed.shape != large.backbone.pos_embed.shape


@pytest.mark.parametrize('frames', [2, 7])
def test_positions_in_time_are_linear(frames, logged):
    small = trained(videomamba_config()).eval()
    other = MODELS.build(videomamba_config(num_frames=frames, img_size=12))
    other.load_state_dict(small.state_dict())
    assert f'temporal_pos_embed resized from 4 to {frames}.' in logged.text
    given = small.backbone.temporal_pos_embed.transpose(1, 2)
    expected = F.interpolate(given, size=frames, mode='linear', align_corners=False)
    torch.testing.assert_close(other.backbone.temporal_pos_embed, expected.transpose(1, 2))
    clips = torch.randn(2, 1, frames, 12, 12)
    torch.testing.assert_close(other.eval()(clips), small(clips))


def test_a_student_inside_a_transfer_too():
    def transfer(img_size):
        return MODELS.build(
            {
                'type': 'KnowledgeTransfer',
                'student': vim_config(img_size=img_size),
                'teacher': {'model': trained(vit_config(img_size=img_size))},
                'distiller': {'type': 'WSAB'},
            }
        )

    small, large = transfer(8), transfer(12)
    large.load_state_dict(small.state_dict())
    expected = resized(small.student.backbone.pos_embed, 'vim-middle')
    torch.testing.assert_close(large.student.backbone.pos_embed, expected)


def test_a_grid_is_square_or_of_the_models_shape():
    wide = MODELS.build(vim_config(img_size=(8, 4)))
    wider = MODELS.build(vim_config(img_size=(16, 8)))
    wider.load_state_dict(wide.state_dict())  # 4x2 to 8x4
    square = MODELS.build(vim_config(img_size=8))
    wider.load_state_dict(square.state_dict())
    with pytest.raises(UserError, match=r'backbone\.pos_embed has 8 patch entries.*4x4'):
        square.load_state_dict(wide.state_dict())


def test_half_precision_and_other_widths():
    small = MODELS.build(vim_config(img_size=8))
    large = MODELS.build(vim_config(img_size=12))
    half = {key: value.bfloat16() for key, value in small.state_dict().items()}
    large.load_state_dict(half)
    expected = resized(half['backbone.pos_embed'].float(), 'vim-middle')
    torch.testing.assert_close(large.backbone.pos_embed, expected, atol=2e-3, rtol=1e-2)
    with pytest.raises(RuntimeError, match=r'size mismatch for backbone\.pos_embed'):
        MODELS.build(vim_config(dims=32, img_size=12)).load_state_dict(small.state_dict())


def test_clip_vision_too():
    torch.manual_seed(0)
    config = {
        'hidden_size': 24,
        'intermediate_size': 32,
        'num_hidden_layers': 2,
        'num_attention_heads': 2,
        'patch_size': 4,
    }

    def build(image_size):
        return MODELS.build({'type': 'ClipVision', 'config': {**config, 'image_size': image_size}})

    small, large = build(16).eval(), build(24).eval()
    large.load_state_dict(small.state_dict())
    key = next(key for key in small.state_dict() if 'position_embedding' in key)
    expected = resized(small.state_dict()[key][None], 'vim-first')[0]
    torch.testing.assert_close(large.state_dict()[key], expected)
