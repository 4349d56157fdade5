"""Write the configs of a transfer on one's own images: whole, readable, editable."""

import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.own_data.plan import TransferPlan
from transmamba_mm.own_data.students import build_backbone_config
from transmamba_mm.weights_file import save_weights

BASES = """
_base_ = [
    'transmamba_mm::_base_/students/classifier.py',
    'transmamba_mm::_base_/methods/wsab.py',
    'transmamba_mm::_base_/datasets/image_folder.py',
    'transmamba_mm::_base_/runtimes/default.py',
]
"""
CROP = 0.875  # of the shorter side, in evaluation
TEACHER_RATE = 1e-3
#: Backbones that freeze by a number of layers or stages.
FREEZES = {
    'VisionTransformer': lambda arch: arch['num_layers'],
    'DistilledVisionTransformer': lambda arch: arch['num_layers'],
    'transmamba_mm.RegisterVisionTransformer': lambda arch: arch['num_layers'],
    'SwinTransformer': lambda arch: len(arch['depths']) - 1,
}


def write_configs(plan: TransferPlan, out: Path) -> tuple[Path | None, Path]:
    """Write the teacher's weights and both configs.

    Returns:
        tuple[Path | None, Path]: The config that trains the teacher's head, None where its classes
        are the images'; the config of the transfer.

    Raises:
        UserError: A file there is that differs from what this would write: the other options of an
            earlier call, or an edit.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = out / 'pretrained.pth'
    teacher_config = None
    model, checkpoint = plan.teacher.model, str(weights)
    state = plan.teacher.state
    if plan.teacher_steps:
        model = _with_new_head(plan)
        state = {key: value for key, value in state.items() if not key.startswith('head.')}
        teacher_config = _write(out / 'teacher.py', _teacher(plan, model, checkpoint))
        checkpoint = str(out / 'teacher')
    if not weights.exists():
        save_weights(state, weights)
    transfer = _transfer(plan, model, checkpoint)
    return teacher_config, _write(out / 'student.py', transfer)


def _base(plan: TransferPlan, steps: int, rate: float) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        leaf = Path(folder, 'leaf.py')
        leaf.write_text(BASES)
        cfg = read_config(leaf)
    images, teacher = plan.images, plan.teacher
    grayscale = teacher.in_channels == 1
    interpolation = teacher.images.interpolation
    convert = [{'type': 'transmamba_mm.ToGrayscale'}] if grayscale else []
    resize = {'backend': 'pillow', 'interpolation': interpolation}
    train = [
        {'type': 'transmamba_mm.LoadImage', 'on_bad': 'skip'},
        *convert,
        {'type': 'RandomResizedCrop', 'scale': plan.size, 'crop_ratio_range': (0.35, 1.0)},
        {'type': 'RandomFlip', 'prob': 0.5, 'direction': 'horizontal'},
        {'type': 'PackInputs'},
    ]
    evaluate = [
        {'type': 'transmamba_mm.LoadImage', 'on_bad': 'raise'},
        *convert,
        {'type': 'ResizeEdge', 'scale': round(plan.size / CROP), 'edge': 'short'},
        {'type': 'CenterCrop', 'crop_size': plan.size},
        {'type': 'PackInputs'},
    ]
    for step in (*train, *evaluate):
        if step['type'] in ('RandomResizedCrop', 'ResizeEdge') and not grayscale:
            step |= resize
    for phase in ('train', 'val', 'test'):
        loader = cfg[f'{phase}_dataloader']
        loader.batch_size = plan.batch_size
        loader.dataset.data_root = str(images.source)
        loader.dataset.pipeline = train if phase == 'train' else evaluate
    cfg.train_dataloader.sampler = {'type': 'InfiniteSampler', 'shuffle': True}
    cfg.train_dataloader.drop_last = True
    cfg.data_preprocessor = {
        'type': 'ClsDataPreprocessor',
        'num_classes': len(images.classes),
        'mean': teacher.mean,
        'std': teacher.std,
        'to_rgb': not grayscale,
    }
    warm_up = max(steps // 20, 1)
    cfg.optim_wrapper = {
        'constructor': 'transmamba_mm.SelectiveDecayOptimWrapperConstructor',
        'optimizer': {'type': 'AdamW', 'lr': rate, 'weight_decay': 0.05},
        'clip_grad': {'max_norm': 1.0},
    }
    cfg.param_scheduler = [
        {'type': 'LinearLR', 'by_epoch': False, 'start_factor': 0.05, 'end': warm_up},
        {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': warm_up, 'eta_min': rate / 100},
    ]
    validations = min(10, steps)
    cfg.train_cfg = {
        'type': 'transmamba_mm.IterBasedTrainLoop',
        'max_iters': steps,
        'val_interval': max(steps // validations, 1),
    }
    cfg.val_cfg = cfg.test_cfg = {}
    cfg.log_processor = {'by_epoch': False}
    cfg.default_hooks.logger.interval = 10
    cfg.default_hooks.checkpoint.update(
        by_epoch=False, interval=max(steps // validations, 1), save_best=None, max_keep_ckpts=1
    )
    return cfg


def _with_new_head(plan: TransferPlan) -> dict[str, Any]:
    """The teacher's config with a head of the images' classes."""
    model = {**plan.teacher.model}
    backbone = model['backbone']
    old, neck = model['head'], model['neck']
    width = backbone.get('config', {}).get('hidden_size') or _width(backbone)
    if old is not None and old['type'] == 'DeiTClsHead':  # of both tokens, for inference alone
        model['backbone'] = {**backbone, 'out_type': 'raw'}
        neck = {'type': 'transmamba_mm.TokenPooling', 'kind': 'cls', 'num_extra_tokens': 2}
    elif neck is not None and neck.get('kind') == 'cls_mean':
        width *= 2
    model['neck'] = neck
    model['head'] = {
        'type': 'LinearClsHead',
        'num_classes': len(plan.images.classes),
        'in_channels': width,
    }
    return model


def _width(backbone: dict[str, Any]) -> int:
    arch = backbone['arch']
    return arch['embed_dims'] * (2 ** (len(arch['depths']) - 1) if 'depths' in arch else 1)


def _teacher(plan: TransferPlan, model: dict[str, Any], checkpoint: str) -> Config:
    cfg = _base(plan, plan.teacher_steps, TEACHER_RATE)
    backbone = dict(model['backbone'])
    if backbone['type'] == 'transmamba_mm.ClipVision':
        backbone['frozen'] = True
    else:
        backbone['frozen_stages'] = FREEZES[backbone['type']](backbone['arch'])
    cfg.model = {**model, 'backbone': backbone}
    cfg.model.backbone.init_cfg = _pretrained(checkpoint, 'backbone.')
    if any(key.startswith('neck.') for key in plan.teacher.state):  # it is trained with the head
        cfg.model.neck.init_cfg = _pretrained(checkpoint, 'neck.')
    return cfg


def _pretrained(checkpoint: str, prefix: str) -> dict[str, str]:
    return {'type': 'Pretrained', 'checkpoint': checkpoint, 'prefix': prefix}


def _transfer(plan: TransferPlan, model: dict[str, Any], checkpoint: str) -> Config:
    cfg = _base(plan, plan.steps, plan.learning_rate)
    student, width = build_backbone_config(plan.student, plan.size, plan.teacher)
    classes = len(plan.images.classes)
    if width:
        student_model: dict[str, Any] = {
            'type': 'ImageClassifier',
            'backbone': student,
            'head': {
                'type': 'LinearClsHead',
                'num_classes': classes,
                'in_channels': width,
                'loss': {'type': 'LabelSmoothLoss', 'label_smooth_val': 0.1, 'mode': 'original'},
            },
        }
    else:
        student_model = {**model, 'backbone': student}
    teacher: dict[str, Any] = {'model': model, 'checkpoint': checkpoint}
    if plan.size != plan.teacher.img_size[0]:
        teacher['img_size'] = plan.teacher.img_size
    cfg.model = {**cfg.model, 'student': student_model, 'teacher': teacher}
    if model['backbone']['type'] == 'SwinTransformer' and width:  # of a student with stages, too
        cfg.model.layer_map = 'stages'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'transfer.py')
        cfg.dump(file)
        return read_config(file, method=plan.method)


def _write(path: Path, cfg: Config) -> Path:
    text = cfg.pretty_text
    if path.exists() and path.read_text() != text:
        raise UserError(
            f'{path} differs from what these options give: it was edited, or comes from other '
            f'options. Train it as it is: python tools/train.py {path} --resume; or choose '
            'another --out.'
        )
    path.write_text(text)
    return path
