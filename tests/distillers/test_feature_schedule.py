"""Feature terms that end, and that compare some of the layers in a step."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel

from tests.distillers.test_wsab import at_cosines
from tests.engine.noisy_run import At, QuickRunner
from tests.transfer.small_models import batch, vim_config
from tests.transfer.test_knowledge_transfer import build, process_group, train  # noqa: F401
from transmamba_mm.distillers import WSAB
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import Features
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.progress import Progress

MATCH = ModelMatch(layers=[LayerMatch(i, i, 4, 4, 2) for i in range(5)])


@pytest.mark.parametrize(
    ('step', 'weight'), [(0, 1), (1, 0.75), (3, 0.25), (4, 0), (5, 0), (10, 0)]
)
def test_the_weight_falls_linearly_to_nothing(step, weight):
    distiller = WSAB(MATCH, feature_end=0.4)
    distiller.progress = Progress(step, 10)
    assert distiller.feature_weight == pytest.approx(weight)
    assert len(distiller.compared_layers) == (5 if weight else 0)


def test_each_layer_has_its_turn():
    distiller = WSAB(MATCH, layer_stride=2)
    turns = []
    for step in range(4):
        distiller.progress = Progress(step, 4)
        turns.append(distiller.compared_layers)
    assert turns == [(0, 2, 4), (1, 3), (0, 2, 4), (1, 3)]


class Steps(Hook):
    """Keeps what each step reports, and the steps in which the teacher ran."""

    def __init__(self):
        self.outputs, self.with_teacher = {}, []

    def before_train(self, runner):
        teacher = runner.model.teacher.model
        teacher.register_forward_hook(lambda *_: self.with_teacher.append(runner.iter))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.outputs[runner.iter] = {key: value.item() for key, value in outputs.items()}


def run(folder, distiller, *hooks, **cfg):
    """Train ten steps on one batch, from a checkpoint if there is one."""
    torch.manual_seed(0)
    data, steps = batch(4), Steps()
    keys = ('inputs', 'data_samples')
    samples = [
        dict(zip(keys, pair, strict=True)) for pair in zip(*map(data.get, keys), strict=True)
    ]
    runner = QuickRunner(
        model=build(vim_config(layers=4), distiller=distiller),
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 4,
            'sampler': {'type': 'InfiniteSampler', 'shuffle': False},
            'dataset': samples,
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 10, 'val_interval': 99},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 3e-3}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 3}},
        custom_hooks=[steps, *hooks],
        default_scope='transmamba_mm',
        experiment_name=f'{folder}-{len(hooks)}-{len(cfg)}'.replace('/', '_'),
        **cfg,
    )
    runner.train()
    return steps


def test_in_a_training_that_is_resumed_terms_end_where_they_would_have(tmp_path):
    distiller = {'type': 'WSAB', 'feature_end': 0.5, 'layer_stride': 2}
    whole = run(tmp_path / 'whole', distiller)
    assert [step['feature_weight'] for step in whole.outputs.values()] == pytest.approx(
        [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0, 0]
    )
    for step, outputs in whole.outputs.items():
        layers = {key for key in outputs if key.endswith('_cos') and key.startswith('layer')}
        own = ([0, 2], [1, 3])[step % 2] if step < 5 else []
        assert layers == {f'layer{layer:02d}_cos' for layer in own}
    assert whole.outputs[9].keys() == {'loss', 'task_loss', 'logits_loss', 'feature_weight'}

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / 'parts', distiller, At(stop, 4))
    file = str(tmp_path / 'parts/iter_3.pth')
    resumed = run(tmp_path / 'parts', distiller, load_from=file, resume=True)
    assert resumed.outputs == {step: whole.outputs[step] for step in range(3, 10)}


def test_a_teacher_that_nothing_is_compared_with_rests(tmp_path):
    steps = run(tmp_path, {'type': 'WSAB', 'feature_end': 0.3, 'logits_weight': 0})
    assert steps.with_teacher == [0, 1, 2]
    assert steps.outputs[9].keys() == {'loss', 'task_loss', 'feature_weight'}


def test_all_layers_count_alike_in_a_turn():
    # 5 layers, 3 and 2 compared in turn: the two steps' losses average to that of all
    distiller = WSAB(MATCH, direction_weight=0, logits_weight=0, weighting='uniform')
    student, teacher = at_cosines(0.9, 0.7, 0.5, 0.3, 0.1)
    whole = distiller(student, teacher)['layer_loss']
    distiller.layer_stride = 2
    parts = []
    for step in range(2):
        distiller.progress = Progress(step, 2)
        sides = (
            Features([side.layer_features[i] for i in distiller.compared_layers])
            for side in (student, teacher)
        )
        parts.append(distiller(*sides)['layer_loss'])
    assert whole.item() == pytest.approx(0.25, rel=1e-4)  # half of the mean of 1 - cos
    assert parts[0].item() == pytest.approx(0.5 * 1.5 / 5 * 2, rel=1e-4)
    assert (sum(parts) / 2).item() == pytest.approx(whole.item(), rel=1e-4)


@pytest.mark.parametrize(
    'schedule', [{'feature_end': 1e-9}, {'layer_stride': 3}, {'token_share': 0.2}], ids=str
)
def test_distributed(schedule, process_group):  # noqa: F811
    model = MMDistributedDataParallel(
        build(distiller={'type': 'WSAB', **schedule}), device_ids=None
    )
    logs = train(model, steps=4)  # a parameter without a gradient would fail the second step
    assert logs[-1]['loss'] < logs[0]['loss']


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: WSAB(MATCH, feature_end=0), r'feature_end=0 of WSAB .*\(0, 1\]'),
        (lambda: WSAB(MATCH, layer_stride=6), r'layer_stride=6 .* at most 5'),
        (
            lambda: WSAB(MATCH, layer_weight=0, direction_weight=0, feature_end=0.3),
            r'feature_end=0.3 of WSAB .*none are compared',
        ),
        (
            lambda: WSAB(ModelMatch(), layer_weight=0, direction_weight=0, layer_stride=2),
            r'layer_stride=2 .* 0 layers',
        ),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(UserError, match=message):
        make()
