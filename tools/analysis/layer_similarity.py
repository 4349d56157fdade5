"""Which teacher layer does each student layer resemble? Linear CKA on images of the test set.

Example:
    python tools/analysis/layer_similarity.py configs/transmamba/vim-nano_deit-nano_digits.py \\
        work_dirs/demo/runs/scratch/100/seed0 work_dirs/demo/runs/wsab/100/seed0
"""

import argparse
from pathlib import Path

from transmamba_mm.apis.layer_similarity import compare_layers
from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.method import add_method_argument
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.study.figures import plot_similarity


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='a config of configs/transmamba/')
    parser.add_argument(
        'checkpoints', nargs='+', help='files or work_dirs, one panel each: transfers or students'
    )
    parser.add_argument('--out', default='layer_similarity.png', help='file of the figure')
    parser.add_argument('--max-images', type=int, default=360, help='of the test set')
    add_method_argument(parser)
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure and draw."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options, args.method)
    preflight(cfg, ())
    checkpoints = {str(Path(path)): path for path in args.checkpoints}
    plot_similarity(compare_layers(cfg, checkpoints, args.max_images), args.out)
    print(f'Saved {args.out}')


if __name__ == '__main__':
    run(main)
