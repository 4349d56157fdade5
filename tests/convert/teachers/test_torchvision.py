"""torchvision's models, read from their state dicts."""

import pytest
import torch
from torchvision.models import SwinTransformer, VisionTransformer

from tests.convert.teachers.parity import largest_difference, randomize
from transmamba_mm.convert.teachers import read_pretrained

MODELS = {
    'vit': lambda: VisionTransformer(32, 8, 2, 2, 128, 256, num_classes=5),
    'swin': lambda: SwinTransformer([4, 4], 32, [1, 2], [1, 2], [7, 7], num_classes=5),
}


@pytest.mark.parametrize(('kind', 'size'), [('vit', 32), ('swin', 56)])
def test_logits_are_those_of_torchvision(kind, size, tmp_path):
    model = randomize(MODELS[kind]())
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    found = read_pretrained(tmp_path / 'model.pth')
    assert found.library == 'torchvision' and found.num_classes == 5
    assert largest_difference(model, found, size) < 1e-5


def test_names_before_version_0_14(tmp_path):
    model = randomize(MODELS['vit']())
    old = {
        key.replace('.mlp.0.', '.mlp.linear_1.').replace('.mlp.3.', '.mlp.linear_2.'): value
        for key, value in model.state_dict().items()
    }
    torch.save(old, tmp_path / 'model.pth')
    found = read_pretrained(tmp_path / 'model.pth')
    assert largest_difference(model, found, 32) < 1e-5
    assert found.images.interpolation == 'bilinear' and found.img_size == (32, 32)
