"""A config's activation_checkpointing trains the same model, or names what is wrong."""

import pytest
import torch
from mmengine.config import Config

from tests.engine.tiny_run import TinyModel, tiny_runner
from transmamba_mm.errors import UserError
from transmamba_mm.launch.activation_checkpointing import checkpoint_activations


class Keywords(TinyModel):
    """A body that is called with a keyword."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        hidden = self.body(input=torch.stack(list(inputs)))
        loss = torch.nn.functional.cross_entropy(
            self.head(hidden), torch.cat([sample.gt_label for sample in data_samples])
        )
        return {'loss_cls': loss}


class Normalized(TinyModel):
    """A body that counts statistics of its batches."""

    def __init__(self):
        super().__init__()
        self.body.append(torch.nn.BatchNorm1d(8))


def trained(folder, model, **cfg):
    runner = tiny_runner(folder, model=model, epochs=1)
    checkpoint_activations(Config(cfg), runner.model)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.parametrize('paths', ['body', ['body', 'head']])
@pytest.mark.parametrize('model', [TinyModel, Keywords, Normalized])
def test_a_module_whose_inputs_need_no_gradient_is_trained(tmp_path, model, paths):
    plain = trained(tmp_path / 'plain', model())
    recomputed = trained(tmp_path / 'other', model(), activation_checkpointing=paths)
    assert not torch.equal(plain['body.0.weight'], model().body[0].weight)
    torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)


def test_a_path_that_does_not_exist_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"'bodi'.*TinyModel.*'body'"):
        trained(tmp_path, TinyModel(), activation_checkpointing='bodi')
