"""Recomputing activations changes the memory of a transfer, not its losses and gradients."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.runner import turn_on_activation_checkpointing
from torch.utils.checkpoint import CheckpointError, checkpoint

from tests.transfer import test_vqa_transfer as vqa
from tests.transfer.small_models import batch
from tests.transfer.test_families import PAIRS, build, clips
from transmamba_mm.errors import UserError
from transmamba_mm.launch.explain import explain
from transmamba_mm.models.towers import towers_of


def layers_of(model):
    """Paths of all layers of the student, inside the transfer."""
    towers = towers_of(model.student).values()
    return [f'student.{t.path}.{path}' for t in towers for path in t.backbone.layer_paths()]


def with_cp(model):
    for tower in towers_of(model.student).values():
        tower.backbone.set_grad_checkpointing()


def by_mmengine(model):
    turn_on_activation_checkpointing(model, layers_of(model))


def mixers_by_mmengine(model):
    mixers = [f'{path}.mixer' for path in layers_of(model)]
    mixers = [path.replace('.mixer', '.ss2d') if 'stages' in path else path for path in mixers]
    turn_on_activation_checkpointing(model, mixers)


def non_reentrant(model):
    for path in layers_of(model):
        block = model.get_submodule(path)
        block.forward = lambda *args, run=block.forward: checkpoint(run, *args, use_reentrant=False)


ROOT = Path(__file__).parents[2]
WAYS = [with_cp, by_mmengine, mixers_by_mmengine, non_reentrant]
STUDENTS = [name for name in PAIRS if name not in ('vmamba-finer-swin', 'swap-vit')]


def losses_and_gradients(model, data):
    model.train()
    torch.manual_seed(3)  # of the stochastic depth
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    total, logs = model.parse_losses(losses)
    total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    return logs, gradients


def compare(make, data, way):
    plain, other = make(), make()
    way(other)
    expected, expected_gradients = losses_and_gradients(plain, data)
    logs, gradients = losses_and_gradients(other, data)
    assert any('direction' in key for key in logs)
    torch.testing.assert_close(logs, expected, rtol=0, atol=0)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (expected_gradients[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(gradient, expected_gradients[name], msg=name)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('pair', STUDENTS)
def test_a_transfer_has_the_same_losses_and_gradients(pair, way):
    data = clips() if pair.startswith('video') else batch()
    compare(lambda: build(pair, drop_path_rate=0.3), data, way)


@pytest.mark.parametrize('way', WAYS)
def test_a_language_student_too(way):
    teacher = vqa.llava()
    compare(lambda: vqa.build(teacher=teacher), vqa.batch(), way)


def test_mixers_of_a_swap_too():
    compare(lambda: build('swap-vit'), batch(), with_cp)


def test_a_checkpoint_around_a_layer_of_a_swap_is_refused():
    model = build('swap-vit')
    by_mmengine(model)
    with pytest.raises(UserError, match=r'transformer\.layers\.0.*with_cp=True'):
        losses_and_gradients(model, batch())


def test_batch_norms_count_a_batch_once():
    models = build('plainmamba-vit'), build('plainmamba-vit')
    by_mmengine(models[1])
    data = batch()
    for model in models:
        losses_and_gradients(model, data)
    plain, other = (dict(model.student.named_buffers()) for model in models)
    assert any('dw.bn.running_var' in name for name in plain)
    torch.testing.assert_close(other, plain)


@pytest.mark.parametrize('region', ['student.backbone.stages.0', 'student.backbone'])
@pytest.mark.parametrize('distiller', [{}, {'layer_weight': 0.0}], ids=['layers', 'directions'])
def test_a_checkpoint_around_several_layers_is_refused(region, distiller):
    model = build('vmamba-vit', distiller=distiller)
    turn_on_activation_checkpointing(model, region)
    with pytest.raises(UserError, match=r'with_cp=True') as error:
        losses_and_gradients(model, batch())
    assert 'backbone.stages.0.blocks.0' in str(error.value)


def test_a_checkpoint_behind_frozen_embeddings_is_refused_where_it_loses_gradients():
    model = build('vim-vit')
    for name in ('patch_embed', 'pos_embed', 'cls_token'):
        getattr(model.student.backbone, name).requires_grad_(False)
    turn_on_activation_checkpointing(model, ['student.backbone.blocks.0'])
    with pytest.raises(UserError, match=r'backbone\.blocks\.0.*with_cp=True'):
        losses_and_gradients(model, batch())


def test_frozen_layers_are_no_reason_to_refuse():
    model = build('vim-vit', frozen_stages=2)
    with_cp(model)
    losses_and_gradients(model, batch())


def test_several_layers_in_one_region_agree_or_are_explained():
    """Not reentrant, as our tools do it: layers are right, directions cannot be recomputed."""
    plain, other = (build('vmamba-vit', distiller={'direction_weight': 0.0}) for _ in range(2))
    other.student.backbone.forward = partial(
        checkpoint, other.student.backbone.forward, use_reentrant=False
    )
    data = batch()
    results = [losses_and_gradients(model, data) for model in (plain, other)]
    torch.testing.assert_close(*results)
    model = build('vmamba-vit')
    model.student.backbone.forward = partial(
        checkpoint, model.student.backbone.forward, use_reentrant=False
    )
    with pytest.raises(CheckpointError) as error:
        losses_and_gradients(model, data)
    assert 'with_cp=True' in explain(error.value)


FIRST = """
import torch
from tests.transfer.small_models import vim_config
from transmamba_mm.registry import MODELS

model = MODELS.build(vim_config(backbone={'with_cp': True})).train()
model(torch.randn(2, 1, 8, 8)).sum().backward()
print(model.backbone.blocks[0].mixer.in_proj.weight.grad is not None)
"""


def test_a_checkpointed_block_may_run_first_in_a_process():
    """A backend's self-check at first use is not recomputed."""
    result = subprocess.run(
        [sys.executable, '-c', FIRST], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip().endswith('True'), result.stderr
