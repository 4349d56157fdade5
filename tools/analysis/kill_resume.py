"""Count how many kills a training survives: resumed, it must end bit-identical to an undisturbed
one.

A training is killed (SIGKILL) at random moments, every other time while it writes a checkpoint, and
resumed each time. At its end weights, optimizer, schedules, random states and all logged losses
are compared with those of a training that nobody killed.

Examples:
    python tools/analysis/kill_resume.py configs/transmamba/vim-nano_deit-nano_digits.py \\
        --method scratch --kills 100
    python tools/analysis/kill_resume.py configs/transmamba/vim-nano_deit-nano_digits.py \\
        --method scratch --kills 20 --cfg-options train_dataloader.num_workers=2
"""

import argparse
import random
import shutil
import sys
from pathlib import Path

import torch

from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.run_config import add_config_arguments, load_config
from transmamba_mm.study.kill_resume import kill_and_resume, train_undisturbed

KILLS_OF_A_RUN = 8


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, of a training that counts iterations')
    add_config_arguments(parser)
    parser.add_argument('--kills', type=int, default=10, help='how many')
    parser.add_argument('--steps', type=int, default=48, help='length of the training')
    parser.add_argument('--interval', type=int, default=3, help='steps between two checkpoints')
    parser.add_argument('--seed', type=int, default=0, help='decides when to kill')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train once undisturbed, then kill."""
    args = parse_args(argv)
    torch.set_num_threads(1)  # a fork does not inherit threads
    cfg = load_config(args)
    cfg.train_cfg.max_iters = args.steps
    cfg.train_cfg.val_interval = args.steps // 4
    cfg.default_hooks.checkpoint.interval = args.interval
    preflight(cfg, ('train', 'val'))
    folder = Path(cfg.work_dir, 'kill_resume')
    shutil.rmtree(folder, ignore_errors=True)
    reference = train_undisturbed(cfg, folder / 'undisturbed')
    print(f'A training of {args.steps} steps without a kill is done.', flush=True)

    rng = random.Random(args.seed)
    kills = same = writing = 0
    while kills < args.kills:
        work_dir = folder / 'killed'
        shutil.rmtree(work_dir, ignore_errors=True)
        wanted = min(KILLS_OF_A_RUN, args.kills - kills)
        result = kill_and_resume(cfg, work_dir, reference, wanted, rng)
        kills, writing = kills + result.kills, writing + result.writing
        same += 0 if result.differences else result.kills
        for place in result.differences[:3]:
            print(f'  differs: {place}')
        print(f'{kills} of {args.kills} kills, {same} without a trace', flush=True)
    print(
        f'{same} of {kills} kills: resumed, the training ended bit by bit as without them '
        f'({writing} of them while a checkpoint was being written).'
    )
    if same < kills:
        sys.exit(1)


if __name__ == '__main__':
    run(main)
