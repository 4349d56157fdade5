"""Our backbones serve a dense task of another OpenMMLab project, by their registered name."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, Registry
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from tests.models.retrieval.small_retrieval import MAMBA_LM, VIM

# A project whose registry is neither ours nor an ancestor of ours, as mmseg's and mmdet's.
SEGMENTORS = Registry('model', parent=MODELS, scope='some_segmentor')
CONFIGS = {
    'VMamba': (
        {'arch': 'nano', 'patch_size': 4, 'out_indices': (0, 1), 'norm_outputs': True},
        [48, 96],
        [(8, 12), (4, 6)],
    ),
    'Vim': (
        {
            'arch': {'embed_dims': 32, 'num_layers': 4, 'state_dims': 4},
            'img_size': 32,
            'patch_size': 8,
            'out_indices': [1, 3],
        },
        [32, 32],
        [(4, 6), (4, 6)],
    ),
}


@SEGMENTORS.register_module()
class Segmentor(nn.Module):
    """A backbone of anybody's, a feature pyramid, a class for each pixel."""

    def __init__(self, backbone, in_channels, num_classes):
        super().__init__()
        self.backbone = SEGMENTORS.build(backbone)
        self.neck = FeaturePyramidNetwork(in_channels, 16)
        self.head = nn.Conv2d(16, num_classes, 1)

    def forward(self, images, labels):
        features = self.backbone(images)
        pyramid = self.neck({str(i): feature for i, feature in enumerate(features)})
        logits = F.interpolate(self.head(pyramid['0']), images.shape[-2:], mode='bilinear')
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_segmentor_of_another_scope_trains_it(name):
    arguments, channels, grids = CONFIGS[name]
    backbone = {'type': f'transmamba_mm.{name}', 'out_type': 'featmap', **arguments}
    cfg = Config({'type': 'Segmentor', 'backbone': backbone, 'in_channels': channels})
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('some_segmentor'):
        model = SEGMENTORS.build({**cfg, 'num_classes': 3})
    images = torch.randn(2, 3, 32, 48)  # another size than the positions were made for
    labels = (images.mean(1) > 0).long() + (images.mean(1) > 1).long()
    features = model.backbone(images)
    assert [tuple(f.shape[1:]) for f in features] == [
        (width, *grid) for width, grid in zip(channels, grids, strict=True)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model(images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    unused = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None and name != 'backbone.cls_token'
    ]
    assert losses[-1] < losses[0]
    # Vim's last norm and the coarser levels of the pyramid may get no gradient, the blocks must.
    assert not [name for name in unused if '.blocks.' in name]


MAPS = {**VIM, 'out_type': 'featmap'}
TOKENIZER = {'type': 'WordTokenizer', 'words': ['a', 'b', 'question']}
WHOLE = {
    'CrossMamba': {'visual_dims': 8, 'text_dims': 6},
    'VideoTextRetriever': {'text': MAMBA_LM, 'embed_dims': 8, 'rerank': {'top_k': 2}},
    'MambaVQA': {'language': MAMBA_LM, 'cross_mamba': {'type': 'CrossMamba'}},
}


@pytest.mark.parametrize('prefix', ['', 'transmamba_mm.'])
@pytest.mark.parametrize('scope', ['mmpretrain', 'some_segmentor'])
@pytest.mark.parametrize('name', WHOLE)
def test_whole_models_of_ours_find_their_parts_from_another_scope(name, scope, prefix):
    def prefixed(config):
        parts = {k: prefixed(v) if isinstance(v, dict) else v for k, v in config.items()}
        return {**parts, 'type': prefix + config['type']} if 'type' in config else parts

    parts = {} if name == 'CrossMamba' else {'vision': MAPS, 'tokenizer': TOKENIZER}
    config = {**prefixed({**parts, **WHOLE[name]}), 'type': f'transmamba_mm.{name}'}
    registry = {'mmpretrain': MMPRETRAIN, 'some_segmentor': SEGMENTORS}[scope]
    with DefaultScope.overwrite_default_scope(scope):
        model = registry.build(config)
    found = {type(part).__name__: type(part).__module__ for part in model.modules()}
    own = {
        'CrossMamba': ('ScanParameters',),
        'VideoTextRetriever': ('VideoDataPreprocessor', 'Vim', 'MambaLM', 'CrossMamba'),
        'MambaVQA': ('Vim', 'MambaLM', 'CrossMamba'),
    }
    # mmpretrain, too, has a VideoDataPreprocessor
    assert all(found[part].startswith('transmamba_mm.') for part in own[name])
