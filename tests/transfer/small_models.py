"""Real models small enough for a test, as configs; types carry their scope, so none is global."""

import torch
from mmpretrain.structures import DataSample

from transmamba_mm.registry import MODELS


def vim_config(dims=16, layers=3, patch=2, classes=10, img_size=8, **kwargs):
    """A Vim classifier of one-channel images."""
    arch = {'embed_dims': dims, 'num_layers': layers, 'state_dims': 4}
    return {
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'transmamba_mm.Vim',
            'arch': arch,
            'img_size': img_size,
            'patch_size': patch,
            'in_channels': 1,
            **kwargs.pop('backbone', {}),
        },
        'head': {'type': 'LinearClsHead', 'num_classes': classes, 'in_channels': dims},
        **kwargs,
    }


def vit_config(dims=24, layers=2, patch=2, classes=10, img_size=8, **backbone):
    """A Vision Transformer classifier of one-channel images."""
    arch = {
        'embed_dims': dims,
        'num_layers': layers,
        'num_heads': 2,
        'feedforward_channels': 2 * dims,
    }
    return {
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'VisionTransformer',
            'arch': arch,
            'img_size': img_size,
            'patch_size': patch,
            'in_channels': 1,
            **backbone,
        },
        'head': {'type': 'VisionTransformerClsHead', 'num_classes': classes, 'in_channels': dims},
    }


def trained(config):
    """A built model as sure of itself as a trained one, without a zero among its weights."""
    model = MODELS.build(config)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def batch(size=8, img_size=8, classes=10):
    """What a data loader hands to ``train_step``."""
    images = torch.randint(0, 17, (size, 1, img_size, img_size), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i % classes) for i in range(size)]
    return {'inputs': images, 'data_samples': samples}
