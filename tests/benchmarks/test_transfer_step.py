"""The benchmark of training steps runs; its numbers are for people."""

from tests.tools.command_line import ROOT, call_module

CONFIG = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'


def test_methods_and_variants_are_measured(tmp_path):
    options = ['--methods', 'logits', '--variants', 'layer_stride=3,weighting=uniform']
    sizes = ['--batch-size', '2', '--rounds', '1', '--threads', '1']
    done = call_module('benchmarks.transfer_step', CONFIG, *options, *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert {'student', "teacher's", 'logits', 'layer_stride=3,weighting=uniform'} < {*rows}


def test_a_variant_that_is_none(tmp_path):
    options = ['--variants', 'layer_stride']
    done = call_module('benchmarks.transfer_step', CONFIG, *options, cwd=tmp_path)
    assert done.returncode == 1 and "--variants 'layer_stride': write KEY=VALUE" in done.stderr
