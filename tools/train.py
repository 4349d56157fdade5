"""Train a model from a config.

Examples:
    python tools/train.py configs/transmamba/vim-nano_deit-nano_digits.py
    python tools/train.py configs/transmamba/vim-nano_deit-nano_digits.py --method scratch
    python tools/train.py configs/transmamba/vim-s_deit-b_in1k.py --amp --resume \\
        --cfg-options model.teacher.checkpoint=checkpoints/deit-base.pth
"""

import argparse

from transmamba_mm import compat
from transmamba_mm.launch.build_runner import build_runner, model_of
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.launch.load_from import check_load_from
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.resumable import make_resumable
from transmamba_mm.launch.run_config import add_config_arguments, load_config
from transmamba_mm.launch.runtime import prepare_runtime
from transmamba_mm.launch.work_dir_lock import lock_work_dir


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file')
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue the last checkpoint of the work_dir, or the given one',
    )
    parser.add_argument('--no-validate', action='store_true', help='skip validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by actual / base batch size',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Check everything that can be checked beforehand, then train."""
    args = parse_args(argv)
    compat.load_checkpoints_safely()
    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True

    preflight(cfg, ('train', 'val'))
    lock = lock_work_dir(cfg)
    prepare_runtime(cfg)
    make_resumable(cfg)
    compat.prepare_cpu_launch(cfg)
    runner = build_runner(cfg)
    check_load_from(cfg, model_of(runner))
    runner.train()
    if lock:
        lock.close()


if __name__ == '__main__':
    run(main)
