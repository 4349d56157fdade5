"""A teacher that gives NaN is named as the cause, by its checkpoint, and not what it reaches."""

import pytest
import torch
from mmpretrain.structures import DataSample

from tests.engine.tiny_run import Samples, tiny_runner
from tests.transfer.small_models import trained, vim_config, vit_config
from transmamba_mm.engine import NonFiniteLossHook
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

HARD = {'type': 'LogitsDistiller', 'kind': 'hard'}


class Images(Samples):
    """Random images with labels."""

    def __getitem__(self, index):
        torch.manual_seed(index)
        image = torch.randint(0, 17, (1, 8, 8), dtype=torch.uint8)
        return {'inputs': image, 'data_samples': DataSample().set_gt_label(index % 10)}


def transfer(file, distiller, poison, **kwargs):
    """A transfer whose teacher is poisoned in its file."""
    state = trained(vit_config()).state_dict()
    for key, value in poison.items():
        state[key].view(-1)[0] = value
    torch.save({'state_dict': state}, file)
    teacher = {'model': vit_config(), 'checkpoint': str(file)}
    config = {'type': 'KnowledgeTransfer', 'student': vim_config(), 'teacher': teacher}
    return MODELS.build({**config, 'distiller': distiller, **kwargs})


@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize('key', ['backbone.pos_embed', 'head.layers.head.bias'])
def test_weights_that_are_not_finite_are_refused_before_training(tmp_path, key, value):
    model = transfer(tmp_path / 'bad.pth', {'type': 'WSAB'}, {key: value})
    with pytest.raises(UserError) as caught:
        model.init_weights()
    message = str(caught.value)
    assert message.startswith('The teacher') and 'bad.pth' in message
    assert f'first in {key}' in message and 'model.teacher.checkpoint' in message


def test_pre_trained_weights_of_the_teacher_are_named_as_such(tmp_path):
    state = trained(vit_config()).state_dict()
    state['backbone.ln1.bias'][3] = torch.nan
    torch.save(state, tmp_path / 'before.pth')
    cloning = {
        'type': 'WeightSubcloning',
        'importance': 'stability',
        'pretrained': str(tmp_path / 'before.pth'),
    }
    model = transfer(tmp_path / 'fine.pth', {'type': 'WSAB'}, {}, subcloning=cloning)
    with pytest.raises(UserError, match=r'before\.pth.*ln1\.bias.*subcloning\.pretrained'):
        model.init_weights()


@pytest.mark.parametrize(
    'distiller', [{'type': 'WSAB'}, {'type': 'WSAB', 'logits_weight': 0}, HARD], ids=str
)
def test_a_teacher_that_overflows_is_named_with_its_layer(tmp_path, distiller):
    block = 'backbone.layers.1'
    huge = {f'{block}.ln2.bias': 3e38, f'{block}.ffn.layers.0.0.weight': 3e38}
    model = transfer(tmp_path / 'huge.pth', distiller, huge)
    with pytest.raises(UserError) as caught:
        tiny_runner(tmp_path, NonFiniteLossHook(), model=model, dataset=Images()).train()
    message = str(caught.value)
    assert 'The teacher' in message and 'huge.pth' in message
    assert 'epoch 1, iteration 1' in message and f'first in {block}.ffn.' in message
    assert 'projector' not in message and 'learning rate' not in message


def test_a_sound_teacher_is_not_blamed_for_its_student(tmp_path):
    model = transfer(tmp_path / 'fine.pth', {'type': 'WSAB'}, {})
    model.init_weights()
    torch.nn.init.constant_(model.student.head.fc.bias, torch.inf)
    with pytest.raises(UserError, match=r'non-finite.*student\.head\.fc\.bias'):
        tiny_runner(tmp_path, NonFiniteLossHook(), model=model, dataset=Images()).train()
