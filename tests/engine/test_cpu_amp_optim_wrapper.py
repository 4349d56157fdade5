"""Mixed precision on a CPU: the forward in bfloat16, everything else as ever."""

import torch

from tests.engine.tiny_run import TinyModel, tiny_runner


def test_the_forward_runs_in_bfloat16_and_the_weights_stay_float32(tmp_path):
    model, seen = TinyModel(), []
    model.head.fc.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    runner = tiny_runner(tmp_path, model=model, wrapper='transmamba_mm.CpuAmpOptimWrapper')
    before = model.head.fc.weight.clone()
    runner.train()
    assert set(seen) == {torch.bfloat16}
    assert model.head.fc.weight.dtype == torch.float32
    assert not torch.equal(model.head.fc.weight, before)
    assert runner.message_hub.get_scalar('train/loss').current() > 0
