import copy

import pytest
import torch
from mmengine.dist import get_dist_info
from mmengine.model import ExponentialMovingAverage, MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from tests.transfer.small_models import batch, trained, vim_config, vit_config
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

WSAB = {'type': 'WSAB'}
LOGITS = {'type': 'LogitsDistiller'}


def build(student=None, teacher=None, distiller=WSAB, teacher_args=None, **kwargs):
    """A transfer between small real models, ready to train."""
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student or vim_config(),
            'teacher': {'model': trained(teacher or vit_config()), **(teacher_args or {})},
            'distiller': distiller,
            **kwargs,
        }
    )
    model.init_weights()
    return model


def optimizer_of(model, lr=3e-3):
    return OptimWrapper(torch.optim.AdamW(model.parameters(), lr=lr))


def train(model, steps=8):
    """Logs of a few steps on one batch, labeled by the teacher."""
    data, optimizer = batch(), optimizer_of(model)
    inputs = model_of(model).data_preprocessor(copy.deepcopy(data))['inputs']
    labels = model_of(model).teacher(inputs).argmax(dim=-1)
    for sample, label in zip(data['data_samples'], labels, strict=True):
        sample.set_gt_label(label)
    return [model.train_step(data, optimizer) for _ in range(steps)]


def model_of(model):
    return model.module if isinstance(model, MMDistributedDataParallel) else model


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize('distiller', [WSAB, LOGITS], ids=lambda d: d['type'])
def test_every_loss_falls_and_their_sum_is_what_is_trained(distiller):
    logs = train(build(distiller=distiller))
    for key in logs[0]:
        if 'loss' in key:
            assert logs[-1][key] < logs[0][key], key
    for log in logs:
        parts = sum(value for key, value in log.items() if 'loss' in key and key != 'loss')
        torch.testing.assert_close(log['loss'], parts)


def test_adapters_and_student_change_after_one_step_and_the_teacher_never():
    model = build(teacher=vit_config(drop_path_rate=0.5, drop_rate=0.5))
    teacher = snapshot(model.teacher.model)
    before = snapshot(model)
    model.train()
    train(model, steps=1)
    after = snapshot(model)
    assert all(not torch.equal(before[k], after[k]) for k in after if k.startswith('distiller.'))
    assert not same(before, after)
    train(model, steps=4)
    assert same(teacher, snapshot(model.teacher.model))
    assert not any(module.training for module in model.teacher.model.modules())


def test_teacher_is_in_no_state_dict_and_no_optimizer():
    model = build()
    assert {key.split('.')[0] for key in model.state_dict()} == {'student', 'distiller'}
    student = MODELS.build(vim_config())
    own = {key.removeprefix('student.') for key in model.state_dict() if key.startswith('student')}
    assert own == student.state_dict().keys()
    ids = {id(p) for group in optimizer_of(model).param_groups for p in group['params']}
    assert not ids & {id(p) for p in model.teacher.model.parameters()}


def test_predict_and_tensor_are_the_students_own_and_need_no_teacher():
    config = {
        'type': 'KnowledgeTransfer',
        'student': vim_config(),
        'teacher': {'model': vit_config(), 'checkpoint': 'nowhere.pth'},
        'distiller': WSAB,
    }
    model = MODELS.build(config)
    model.load_state_dict(build().state_dict())
    model.eval()
    calls = []
    model.teacher.model.register_forward_hook(lambda *_: calls.append(1))
    data = model.data_preprocessor(batch())
    torch.testing.assert_close(model(data['inputs']), model.student(data['inputs']))
    assert all('pred_score' in sample for sample in model.val_step(batch()))
    assert not calls
    with pytest.raises(UserError, match='nowhere'):
        model.init_weights()


DIFFERENCES = {
    'narrower student': ({'dims': 16}, {'dims': 24}),
    'wider student': ({'dims': 32}, {'dims': 24}),
    'deeper student': ({'layers': 5}, {'layers': 2}),
    'shallower student': ({'layers': 2}, {'layers': 5}),
    'coarser teacher patches': ({'patch': 2}, {'patch': 4}),
    'finer teacher patches': ({'patch': 4}, {'patch': 2}),
    'overlapping student patches': ({'backbone': {'patch_stride': 1}}, {}),
    'student without cls': ({'backbone': {'cls_position': 'none'}}, {}),
    'student with two cls': ({'backbone': {'cls_position': 'both'}}, {}),
    'teacher without cls': ({}, {'with_cls_token': False, 'out_type': 'avg_featmap'}),
}


@pytest.mark.parametrize(('student', 'teacher'), DIFFERENCES.values(), ids=DIFFERENCES)
def test_models_may_differ(student, teacher):
    logs = train(build(vim_config(**student), vit_config(**teacher)), steps=6)
    assert logs[-1]['loss'] < logs[0]['loss']


def test_distilled_deit_teacher():
    teacher = vit_config()
    teacher['backbone']['type'] = 'DistilledVisionTransformer'
    teacher['head']['type'] = 'DeiTClsHead'
    logs = train(build(teacher=teacher), steps=6)
    assert logs[-1]['loss'] < logs[0]['loss']


def test_shapes_of_student_and_teacher_records():
    model = build(
        vim_config(dims=16, layers=4, patch=2),
        vit_config(dims=24, layers=2, patch=4),
        teacher_args={'img_size': 16},
    )
    seen = []
    model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records))
    train(model, steps=1)
    (student, teacher), *_ = seen
    layers = student.layer_features, teacher.layer_features
    assert [layer.patches.shape for layer in layers[0]] == [(8, 16, 16)] * 4
    assert [d.patches.shape for d in student.direction_features] == [(8, 2, 16, 16)] * 4
    assert [layer.patches.shape for layer in layers[1]] == [(8, 16, 24)] * 4  # 16 pixels, by 4
    assert all(layer.grid == (4, 4) for side in layers for layer in side)
    assert student.logits.shape == teacher.logits.shape == (8, 10)
    patches = [layer.patches for layer in teacher.layer_features]
    assert not torch.equal(patches[0], patches[2])
    torch.testing.assert_close(patches[0], patches[1])  # ceil((l + 1) * 2 / 4) - 1
    assert not patches[0].requires_grad


def test_direction_features_sum_to_what_the_mixer_adds_and_record_the_same_student():
    model = build(distiller={'type': 'WSAB', 'task_weight': 0.5})
    seen = []
    model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records[0]))
    data = model.data_preprocessor(batch(), training=True)
    plain = model.student(**data, mode='loss')['loss']
    torch.testing.assert_close(model(**data, mode='loss')['task_loss'], plain / 2)
    (record,) = seen
    first, second, _ = (layer.patches for layer in record.layer_features)
    mixed = record.direction_features[1].patches.sum(dim=1)
    torch.testing.assert_close(mixed, second - first, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('distiller', 'student_paths', 'teacher_paths'),
    [
        (LOGITS, ['head'], ['head']),
        (
            {'type': 'WSAB', 'direction_weight': 0, 'logits_weight': 0},
            ['backbone.blocks.0', 'backbone.blocks.2'],
            ['backbone.layers.0', 'backbone.layers.1'],
        ),
        (
            {'type': 'WSAB', 'layer_weight': 0},
            ['backbone.blocks.0.tap', 'backbone.blocks.2.tap', 'head'],
            ['backbone.layers.0', 'backbone.layers.1', 'head'],
        ),
    ],
    ids=['logits', 'layers', 'directions'],
)
def test_only_what_the_distiller_needs_is_recorded(distiller, student_paths, teacher_paths):
    model = build(distiller=distiller, layer_map=[0, None, 1])
    watched = []

    def note(module, *_):
        watched.extend(
            (side, name)
            for side, root in (('student', model.student), ('teacher', model.teacher.model))
            for name, part in root.named_modules()
            if part is module
        )

    def hooked(root):
        return [name for name, part in root.named_modules() if len(part._forward_hooks) > own(part)]

    def own(part):  # a block's, for its directions
        return 1 if hasattr(part, 'tap') else 0

    model.student.head.loss_module.register_forward_hook(lambda *_: watched.append(hooked(model)))
    train(model, steps=1)
    inside = [name for name in watched[0] if 'loss_module' not in name]
    assert inside == [f'student.{path}' for path in student_paths]
    assert model.reader.teacher.recorder.outputs == teacher_paths
    assert not [name for name in hooked(model) if 'loss_module' not in name]
    assert not hooked(model.teacher.model)


def test_teacher_gets_the_augmented_and_mixed_images_of_the_student():
    student = vim_config(
        data_preprocessor={'mean': [8.0], 'std': [4.0], 'num_classes': 10, 'to_onehot': True},
        train_cfg={'augments': [{'type': 'Mixup', 'alpha': 1.0}]},
    )
    student['head']['loss'] = {'type': 'CrossEntropyLoss', 'use_soft': True}
    model = build(student, teacher_args={'mean': [2.0], 'std': [3.0]})
    seen = {}
    model.student.backbone.register_forward_pre_hook(lambda _, x: seen.update(student=x[0]))
    model.teacher.model.backbone.register_forward_pre_hook(lambda _, x: seen.update(teacher=x[0]))
    data = batch()
    train_images = data['inputs'].clone()
    model.train_step(data, optimizer_of(model))
    pixels = seen['student'] * 4 + 8
    torch.testing.assert_close(seen['teacher'] * 3 + 2, pixels)
    assert not torch.allclose(pixels, train_images.float())  # they were mixed


def test_task_weight_scales_only_the_task():
    def losses(task_weight):
        model = build(distiller={'type': 'LogitsDistiller', 'task_weight': task_weight})
        data = model.data_preprocessor(batch(), training=True)
        return model(**data, mode='loss')

    whole, part = losses(1.0), losses(0.25)
    torch.testing.assert_close(part['task_loss'], 0.25 * whole['task_loss'])
    torch.testing.assert_close(part['logits_loss'], whole['logits_loss'])


def test_other_outputs_of_the_student_keep_their_names():
    student = vim_config()
    student['head']['cal_acc'] = True
    assert 'accuracy_top-1' in train(build(student), steps=1)[0]


def test_settings_of_the_runner_reach_the_student():
    model = build(data_preprocessor={'mean': [8.0], 'std': [4.0]})
    assert model.data_preprocessor is model.student.data_preprocessor
    assert model.data_preprocessor.mean.item() == 8
    own = build(vim_config(data_preprocessor={'mean': [1.0], 'std': [1.0]}), data_preprocessor={})
    assert own.data_preprocessor.mean.item() == 1


SUBCLONING = {'type': 'WeightSubcloning'}


@pytest.mark.parametrize(('dims', 'layers'), [(24, 2), (16, 3)], ids=['same', 'narrower-deeper'])
def test_subcloning_is_applied_when_weights_are_initialized(dims, layers):
    model = build(vim_config(dims=dims, layers=layers), subcloning=SUBCLONING)
    teacher = model.teacher.model.state_dict()
    lines = {line.student: line for line in model.transfer_report.lines}
    assert lines.keys() == dict(model.student.named_parameters()).keys()
    assert lines['head.fc.weight'].teacher == 'head.weight'
    if dims == 24:
        cloned = model.student.head.fc.weight
        torch.testing.assert_close(cloned.data, teacher['head.layers.head.weight'])
    logs = train(model)
    assert logs[-1]['loss'] < logs[0]['loss']


def test_subcloning_follows_the_layer_map_unless_it_has_its_own():
    def cloned_layers(**subcloning):
        model = build(
            layer_map=[0, None, 1], distiller=LOGITS, subcloning={**SUBCLONING, **subcloning}
        )
        return {
            line.teacher.split('.')[1]
            for line in model.transfer_report.lines
            if line.num_cloned and line.teacher.startswith('layers.')
        }, {
            line.student.split('.')[2]
            for line in model.transfer_report.lines
            if line.num_cloned and line.student.startswith('backbone.blocks.')
        }

    assert cloned_layers() == ({'0', '1'}, {'0', '2'})
    assert cloned_layers(layer_map=[None, 1, None]) == ({'1'}, {'1'})


def test_without_subcloning_there_is_no_report():
    assert build().transfer_report is None


def test_second_init_does_not_touch_a_trained_student():
    model = build(subcloning=SUBCLONING)
    train(model, steps=1)
    before = snapshot(model)
    model.init_weights()
    assert same(before, snapshot(model))


def test_a_copy_shares_the_teacher_even_after_training():
    model = build()
    train(model, steps=1)
    twin = copy.deepcopy(model)
    assert twin.teacher is model.teacher
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}
    train(twin, steps=1)


def test_exponential_moving_average():
    model = build()
    teacher = snapshot(model.teacher.model)
    average = ExponentialMovingAverage(model, momentum=0.5)
    train(model, steps=2)
    average.update_parameters(model)
    train(model, steps=2)
    average.update_parameters(model)
    assert average.module.teacher is model.teacher
    assert same(teacher, snapshot(model.teacher.model))
    assert {k.removeprefix('module.') for k in average.state_dict()} - {'steps'} == (
        model.state_dict().keys()
    )
    assert all('pred_score' in sample for sample in average.module.val_step(batch()))


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('distiller', [WSAB, LOGITS], ids=lambda d: d['type'])
def test_distributed(distiller, process_group):
    model = MMDistributedDataParallel(build(distiller=distiller), device_ids=None)
    logs = train(model, steps=4)  # a parameter without a gradient would fail the second step
    assert get_dist_info() == (0, 1)
    assert logs[-1]['loss'] < logs[0]['loss']


def test_bfloat16_autocast():
    model = build()
    data = model.data_preprocessor(batch(), training=True)
    exact = model(**data, mode='loss')
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**data, mode='loss')
    for key in ('layer_loss', 'direction0_loss', 'logits_loss'):
        torch.testing.assert_close(losses[key], exact[key], atol=0.05, rtol=0.1)


def test_layer_depth_is_the_students():
    model = build()
    assert model.get_layer_depth('student.backbone.pos_embed') == (0, 5)
    assert model.get_layer_depth('student.backbone.blocks.1.norm.weight') == (2, 5)
    assert model.get_layer_depth('distiller.layer_projectors.0.project.weight') == (4, 5)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'teacher': vit_config(classes=7)}, r'10 classes and the teacher 7'),
        ({'teacher': vit_config(img_size=8, patch=3)}, r'8x8 pixels into patches of 3'),
        ({'teacher_args': {'img_size': 9}}, r'9x9 pixels into patches of 2'),
        ({'distiller': {'type': 'WSAB', 'weighting': 'no'}}, r'ratio, softmax, uniform'),
        ({'layer_map': [None, None, None]}, r'matches no student layer'),
        ({'layer_map': [0, 0, 9]}, r'9'),
    ],
    ids=['classes', 'patches', 'size', 'weighting', 'no-pairs', 'layer'],
)
def test_wiring_is_checked_when_it_is_built(kwargs, message):
    with pytest.raises(UserError, match=message):
        build(**kwargs)


def test_a_teacher_of_other_classes_is_fine_without_logits():
    train(build(teacher=vit_config(classes=7), distiller={**WSAB, 'logits_weight': 0}), steps=1)
