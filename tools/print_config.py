"""Print a config with everything it inherits, then the faults of its keys and values.

Examples:
    python tools/print_config.py configs/transmamba/vim-s_deit-b_in1k.py --method scratch
    python tools/print_config.py configs/transmamba/vim-s_deit-b_in1k.py \\
        --cfg-options train_cfg.max_epochs=100
"""

import argparse

from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.method import add_method_argument
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config


def main(argv: list[str] | None = None) -> None:
    """Resolve, print and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file')
    add_method_argument(parser)
    add_config_options(parser)
    args = parser.parse_args(argv)
    cfg = read_config(args.config, args.cfg_options, args.method)
    print(cfg.pretty_text)
    preflight(cfg, ())


if __name__ == '__main__':
    run(main)
