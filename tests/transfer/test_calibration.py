"""Statistics of attention, and mixers that start from them."""

import pytest
import torch
from sklearn.datasets import load_digits

from tests.transfer.small_models import (
    plainmamba_config,
    swapped,
    trained,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.ops import bidirectional_order
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.calibration import attention_distance, decay_of

LENGTH = 24
#: Of the heads of an attention.
DECAYS = torch.tensor([0.3, 0.8, 0.95])


def attention_with(before, after):
    """Maps (1, 3, L, L) that fall by factors (3,) for each token before and after a token."""
    steps = torch.arange(LENGTH)
    distance = steps[:, None] - steps
    factors = torch.where(distance >= 0, before[:, None, None], after[:, None, None])
    weights = factors ** distance.abs()
    return (weights / weights.sum(-1, keepdim=True))[None]


def test_the_decay_fits_how_far_back_attention_reaches():
    maps = attention_with(DECAYS, DECAYS.flip(0))
    found = decay_of(attention_distance(maps, bidirectional_order(LENGTH)), LENGTH)
    torch.testing.assert_close(found, torch.stack([DECAYS, DECAYS.flip(0)]), rtol=0, atol=1e-3)


def test_attention_in_another_order():
    """What is local along a traversal reaches back less along that one."""
    path = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(1, 3, LENGTH, LENGTH)
    maps[:, :, path[:, None], path] = attention_with(DECAYS, DECAYS)
    order = torch.stack([path, torch.arange(LENGTH)])
    along, across = attention_distance(maps, order)
    assert (along[:2] < 0.7 * across[:2]).all()
    torch.testing.assert_close(decay_of(along, LENGTH), DECAYS, rtol=0, atol=1e-3)


@pytest.mark.parametrize('distance, decay', [(0.0, 1e-3), (1e3, 0.999)])
def test_decays_have_ends(distance, decay):
    found = decay_of(torch.tensor([distance]), LENGTH)
    torch.testing.assert_close(found, torch.tensor([decay]), rtol=0.01, atol=0)


def digits(first, last):
    """Images of handwritten digits (n, 1, 8, 8), about -1 to 1, and their labels."""
    data = load_digits()
    images = torch.from_numpy(data.images[first:last, None]).float() / 8 - 1
    return images, torch.from_numpy(data.target[first:last])


@pytest.fixture(scope='module')
def teacher():
    """A Vision Transformer that reads digits: 24 channels, two layers."""
    torch.manual_seed(0)
    model = MODELS.build(vit_config())
    model.init_weights()
    images, labels = digits(0, 1024)
    optimizer = torch.optim.AdamW(model.parameters(), 6e-3)
    for step in range(300):
        batch = torch.randint(1024, (64,), generator=torch.Generator().manual_seed(step))
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def transfer(teacher, student, distiller='LogitsDistiller', **subcloning):
    torch.manual_seed(1)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student,
            'teacher': {'model': teacher},
            'distiller': {'type': distiller},
            'subcloning': {'type': 'WeightSubcloning', **subcloning},
        }
    )
    model.init_weights()
    return model.eval()


class TestAlignment:
    """Errors of swapped mixers against attention, on images that were not measured."""

    def error(self, model):
        with torch.no_grad():
            return model(digits(1100, 1300)[0], None, mode='loss')['alignment_loss'].item()

    def test_is_closer_before_training(self, teacher):
        images, labels = digits(1300, 1797)
        assert (teacher(images).argmax(-1) == labels).float().mean() > 0.75
        student = swapped(vit_config())
        plain = transfer(teacher, student, 'MixerAlignment')
        calibrated = transfer(teacher, student, 'MixerAlignment', calibration='attention')
        calibrated.calibrate(digits(0, 64)[0])
        assert self.error(calibrated) < 0.8 * self.error(plain)


def streams(backbone, images):
    """Residual stream (B, tokens, D) before the first layer and behind each."""
    found = []
    layers = [backbone.get_submodule(path) for path in layout_of(backbone).layer_paths()]
    handles = [layers[0].register_forward_pre_hook(lambda module, args: found.append(args[0]))]
    handles += [
        layer.register_forward_hook(lambda module, args, output: found.append(output))
        for layer in layers
    ]
    with torch.no_grad():
        backbone(images)
    for handle in handles:
        handle.remove()
    return found


def size(tokens):
    return tokens.var(dim=(0, 1)).mean().sqrt()


def test_blocks_add_as_much_as_attention(teacher):
    """Without it, what a Vim's blocks add is lost beside the embedding."""
    images, seen = digits(0, 64)[0], digits(1100, 1200)[0]
    recorded = []
    for layer in teacher.backbone.layers:
        layer.attn.register_forward_hook(lambda module, args, output: recorded.append(output))
    student = vim_config(dims=24, layers=2)
    for options, low, high in (({}, 0, 0.3), ({'calibration': 'scale'}, 0.7, 1.4)):
        model = transfer(teacher, student, **options)
        if options:
            lines = model.calibrate(images)
            assert [line.partition(':')[0] for line in lines] == [
                'layer 0 like 0',
                'layer 1 like 1',
            ]
        stream = streams(model.student.backbone, seen)
        recorded.clear()
        teacher(seen)
        for before, after, attention in zip(stream, stream[1:], recorded, strict=False):
            assert low < size(after - before) / size(attention) < high


@pytest.mark.parametrize(
    'student',
    [
        vim_config(dims=16, layers=4),
        vim_config(dims=32, layers=4, backbone={'shared_projections': True}),
        plainmamba_config(layers=4),
        vmamba_config((16, 32), (1, 1)),
    ],
    ids=['narrow vim', 'wide vim, bimamba v1', 'plainmamba', 'vmamba'],
)
@pytest.mark.parametrize('calibration', ['scale', 'attention'])
def test_other_widths_grids_and_directions(teacher, student, calibration):
    model = transfer(teacher, student, calibration=calibration)
    lines = model.calibrate(digits(0, 64)[0])
    stages = model.student.backbone
    assert len(lines) == stages.num_layers
    logits = model(digits(1100, 1120)[0])
    assert logits.isfinite().all() and logits.std() > 0
    again = transfer(teacher, student, calibration=calibration)
    assert again.calibrate(digits(0, 64)[0]) == lines
    torch.testing.assert_close(model.state_dict(), again.state_dict(), rtol=0, atol=0)


def test_blocks_that_are_an_mlp_stay_one(teacher):
    options = {'layer_map': 'alternate'}
    before = transfer(teacher, vim_config(dims=24, layers=4), **options)
    after = transfer(teacher, vim_config(dims=24, layers=4), calibration='attention', **options)
    lines = after.calibrate(digits(0, 64)[0])
    assert [line.split(':')[0] for line in lines] == [
        'layer 0 like attention of 0',
        'layer 2 like attention of 1',
    ]
    theirs = dict(after.student.named_parameters())
    for name, parameter in before.student.named_parameters():
        if 'blocks.1.' in name or 'blocks.3.' in name:
            assert torch.equal(parameter, theirs[name])


def test_no_step_without_it(teacher):
    model = transfer(teacher, vim_config(dims=24, layers=2), calibration='scale')
    images = digits(0, 8)[0]
    with pytest.raises(UserError, match=r'calibration was not done.*CalibrationHook'):
        model(images, [], mode='loss')
    assert model.needs_calibration and model(images).shape == (8, 10)
    loaded = transfer(teacher, vim_config(dims=24, layers=2), calibration='scale')
    loaded.load_state_dict(model.state_dict())
    assert not loaded.needs_calibration


def test_unknown(teacher):
    with pytest.raises(UserError, match="calibration='scales'"):
        transfer(trained(vit_config()), vim_config(dims=24), calibration='scales')
