"""Students of two layers in every form in which a graph of them could differ."""

import torch

from transmamba_mm.models.backbones.plainmamba import ARCHS as PLAIN_ARCHS
from transmamba_mm.models.backbones.vmamba import ARCHS as VMAMBA_ARCHS
from transmamba_mm.registry import MODELS

SMALL = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
VIM, VIDEO = {'type': 'Vim', 'arch': SMALL}, {'type': 'VideoMamba', 'arch': SMALL}
VMAMBA = {
    'type': 'VMamba',
    'arch': {**VMAMBA_ARCHS['nano'], 'embed_dims': (8, 16), 'depths': (1, 1)},
}
PLAIN = {'type': 'PlainMamba', 'arch': {**PLAIN_ARCHS['nano'], **SMALL}}
PAPER = {'parameters_in_raster_order': False, 'double_dt_bias': False}
STUDENTS = {
    'vim-middle': VIM,
    'vim-first': {**VIM, 'cls_position': 'first', 'out_type': 'featmap'},
    'vim-both': {**VIM, 'cls_position': 'both', 'out_type': 'avg_featmap'},
    'vim-both-cls': {**VIM, 'cls_position': 'both'},
    'vim-none': {**VIM, 'cls_position': 'none', 'out_type': 'featmap'},
    'vim-shared': {**VIM, 'shared_projections': True, 'out_type': 'raw'},
    'vmamba': VMAMBA,
    'vmamba-stages': {**VMAMBA, 'out_type': 'featmap', 'out_indices': [0, 1]},
    'plainmamba': PLAIN,
    'plainmamba-paper': {**PLAIN, **PAPER, 'out_type': 'featmap'},
    'videomamba-image': {**VIDEO, 'num_frames': 1},
    'videomamba-clip': {**VIDEO, 'num_frames': 2, 'out_type': 'featmap'},
}


def student(name: str):
    """Build one, untrained, for images of 32 x 32 pixels in patches of 4."""
    config = {**STUDENTS[name], 'patch_size': 4}
    if config['type'] != 'VMamba':
        config['img_size'] = 32
    torch.manual_seed(0)
    return MODELS.build(config).eval()


def images(name: str, batch: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    """Images, or clips for a student of clips."""
    frames = (2,) if name == 'videomamba-clip' else ()
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, *frames, height, width, generator=generator)
