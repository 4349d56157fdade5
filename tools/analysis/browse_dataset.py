"""Show the model's input: a batch of training images after pipeline and batch augmentation.

Example:
    python tools/analysis/browse_dataset.py configs/transmamba/vim-nano_deit-nano_digits.py
"""

import argparse

from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import MODELS
from transmamba_mm.study.figures import plot_images


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', default='browse_dataset.png', help='file of the figure')
    parser.add_argument('--seed', type=int, default=0, help='of batch and augmentation')
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw one batch."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options)
    preflight(cfg, ())
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    set_random_seed(args.seed)
    preprocessor = MODELS.build(cfg.data_preprocessor)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    images = preprocessor(next(iter(loader)), training=True)['inputs']
    pixels = images * getattr(preprocessor, 'std', 1) + getattr(preprocessor, 'mean', 0)
    plot_images((pixels.clamp(0, 255) / 255).permute(0, 2, 3, 1).numpy(), args.out)
    print(f'Saved {len(images)} images as {args.out}')


if __name__ == '__main__':
    run(main)
