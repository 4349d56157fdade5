"""``tools/convert.py mamba_lm``: a file of mamba_ssm becomes a folder of transformers."""

import torch

from tests.golden import Golden
from tests.tools.command_line import call_tool
from transmamba_mm.models.hf import MambaLM


def test_file_to_folder(tmp_path):
    golden = Golden('mamba_lm')
    names = golden.meta['hf_to_mamba_ssm_keys']
    official = {names[key]: value for key, value in golden.state_dict.items()}
    torch.save(official, tmp_path / 'pytorch_model.bin')
    command = ['convert.py', 'mamba_lm', 'pytorch_model.bin']
    done = call_tool(*command, 'converted', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'converted: 23 tensors' in done.stdout
    model = MambaLM(checkpoint=tmp_path / 'converted')
    golden.check('logits', model(golden.input('input_ids', torch.long)).logits)
    done = call_tool(*command, 'converted.pth', cwd=tmp_path)
    assert done.returncode == 1
    assert 'saved as a folder' in done.stderr
