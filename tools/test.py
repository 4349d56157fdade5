"""Evaluate a checkpoint.

The checkpoint may be a transfer's or an exported student's, whichever config is named: only the
student is built. Neither its teacher is needed nor the checkpoints it was made from.

Examples:
    python tools/test.py configs/transmamba/vim-nano_deit-nano_digits.py \\
        work_dirs/vim-nano_deit-nano_digits
    python tools/test.py configs/transmamba/vim-nano_deit-nano_digits.py student.safetensors \\
        --out metrics.json
"""

import argparse
from pathlib import Path

import mmengine
from mmengine.evaluator import DumpResults

from transmamba_mm import compat
from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.errors import UserError
from transmamba_mm.launch.build_runner import build_runner, model_of
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.run_config import add_config_arguments, load_config
from transmamba_mm.launch.runtime import prepare_runtime
from transmamba_mm.transfer.student import student_config, student_weights, trained_student_config
from transmamba_mm.transfer.teacher import load_strict

#: What mmengine writes each of them as.
FORMATS = {'metrics': ('.json', '.yaml', '.yml', '.pkl'), 'pred': ('.pkl', '.pickle')}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='.pth or .safetensors file, work_dir or URL')
    add_config_arguments(parser)
    parser.add_argument('--out', help='file for the metrics (.json, .yaml) or predictions (.pkl)')
    parser.add_argument(
        '--out-item', choices=['metrics', 'pred'], default='metrics', help='what --out receives'
    )
    return parser.parse_args(argv)


def check_out(file: str | None, item: str) -> None:
    """Reject a file that could not be written, before the test and not after it."""
    suffixes = FORMATS[item]
    if file and Path(file).suffix not in suffixes:
        raise UserError(
            f'--out {file} has to end in {" or ".join(suffixes)} for --out-item {item}.'
        )


def main(argv: list[str] | None = None) -> None:
    """Build the student, fill it and run its test loop."""
    args = parse_args(argv)
    check_out(args.out, args.out_item)
    cfg = load_config(args)
    cfg.model = student_config(cfg.model)
    cfg.load_from, cfg.resume = None, False
    cfg.init_weights_for_test_or_val = False  # they come from the checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True

    preflight(cfg, ('test',))
    weights = student_weights(load_state_dict(args.checkpoint))
    cfg.model = trained_student_config(cfg.model, args.checkpoint)
    # A checkpoint's weights are the averaged ones already; the hook would swap in an empty copy.
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [hook for hook in hooks if type_name(hook) != 'EMAHook']
    prepare_runtime(cfg)
    compat.prepare_cpu_launch(cfg)
    runner = build_runner(cfg)
    load_strict(model_of(runner), weights, args.checkpoint)
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    run(main)
