"""Real models small enough for a test, as configs; types carry their scope, so none is global."""

import torch
from mmpretrain.structures import DataSample

from transmamba_mm.models.backbones.vmamba import ARCHS
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


def swap_config(dims=24, layers=None, **backbone):
    """A Vision Transformer whose ``layers``, by default all, have mixers for attention."""
    return swapped(vit_config(dims, **backbone), layers)


def swapped(model, layers=None):
    """The config of a classifier with its Transformer swapped."""
    swap = {'type': 'transmamba_mm.AttentionSwap', 'transformer': model['backbone']}
    return {**model, 'backbone': {**swap, 'layers': layers}}


def plainmamba_config(dims=16, layers=3, patch=2, classes=10, img_size=8, **backbone):
    """A PlainMamba classifier of one-channel images, with a convolution behind its first block."""
    arch = {
        'embed_dims': dims,
        'num_layers': layers,
        'state_dims': 4,
        'stem_dims': 8,
        'stem_convs': 1,
        'dwconv_layers': (0,),
    }
    options = {'arch': arch, 'img_size': img_size, 'patch_size': patch, **backbone}
    return classifier('transmamba_mm.PlainMamba', dims, classes, **options)


def videomamba_config(dims=16, layers=3, patch=2, classes=10, img_size=8, **backbone):
    """A VideoMamba classifier of one-channel images and clips."""
    arch = {'embed_dims': dims, 'num_layers': layers, 'state_dims': 4}
    options = {'arch': arch, 'img_size': img_size, 'patch_size': patch, 'num_frames': 4, **backbone}
    return classifier('transmamba_mm.VideoMamba', dims, classes, **options)


def vmamba_config(dims=(16, 32), depths=(2, 1), patch=2, classes=10, backbone=None, **arch):
    """A VMamba classifier of one-channel images, by the recipe of nano."""
    arch = {**ARCHS['nano'], 'embed_dims': dims, 'depths': depths, **arch}
    options = {'arch': arch, 'patch_size': patch, **(backbone or {})}
    return classifier('transmamba_mm.VMamba', dims[-1], classes, **options)


def swin_config(dims=(24, 48), depths=(2, 2), patch=2, classes=10, img_size=8, **backbone):
    """A Swin Transformer classifier of one-channel images; widths double from stage to stage."""
    arch = {'embed_dims': dims[0], 'depths': list(depths), 'num_heads': [2] * len(dims)}
    options = {
        'arch': arch,
        'img_size': img_size,
        'patch_size': patch,
        'window_size': 2,
        'out_indices': (len(dims) - 1,),
        **backbone,
    }
    return classifier('SwinTransformer', dims[-1], classes, **options)


def classifier(backbone, dims, classes, **options):
    """A backbone of one-channel images with one output feature, and a linear head."""
    pools = backbone == 'SwinTransformer'
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': backbone, 'in_channels': 1, **options},
        'neck': {'type': 'GlobalAveragePooling'} if pools else None,
        'head': {'type': 'LinearClsHead', 'num_classes': classes, 'in_channels': dims},
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
    """A batch as a data loader gives it to ``train_step``."""
    images = torch.randint(0, 17, (size, 1, img_size, img_size), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i % classes) for i in range(size)]
    return {'inputs': images, 'data_samples': samples}
