"""Run a transfer's teacher once over its training data and keep its outputs on disk.

Training then reads them and holds no teacher in memory:
--cfg-options model.teacher.cache=OUT. The data may have no random views, or those of
transmamba_mm.SeededViews. Images of another data set or augmentation are refused.

Examples:
    python tools/cache_teacher.py transfer.py work_dirs/cache --method logits --top-k 8
    python tools/train.py transfer.py --method logits \\
        --cfg-options model.teacher.cache=work_dirs/cache
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from transmamba_mm import compat
from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.method import add_method_argument


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='a transfer of a classifier')
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--top-k',
        type=int,
        help='keep the soft labels of so many classes, at the temperature of the method, and draw '
        'from the others, so that they are right on average; default: keep all logits',
    )
    parser.add_argument('--drawn', type=int, default=16, help='classes to draw, with --top-k')
    parser.add_argument('--features', action='store_true', help='keep features of layers, too')
    parser.add_argument('--batch-size', type=int, default=64)
    add_method_argument(parser)
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Cache and print what it takes."""
    args = parse_args(argv)
    compat.load_checkpoints_safely()
    compat.import_datasets_quietly()  # seconds --help need not wait
    from transmamba_mm.apis.cache_teacher import cache_teacher
    from transmamba_mm.launch.preflight import preflight
    from transmamba_mm.launch.read_config import read_config

    def progress(batches: Iterable, total: int) -> Iterable:
        return track(batches, 'teacher', total, console=Console(stderr=True))

    cfg = read_config(args.config, args.cfg_options, args.method)
    preflight(cfg, ())
    contents = cache_teacher(
        cfg, args.out, args.top_k, args.drawn, args.features, args.batch_size, progress
    )
    size = sum(file.stat().st_size for file in Path(args.out).iterdir())
    print(
        f'{args.out}: {", ".join(contents.kinds)} of {contents.num_samples:,} samples x '
        f'{contents.views} views, {size / 1e6:,.1f} MB; train with --cfg-options '
        f'model.teacher.cache={args.out}'
    )


if __name__ == '__main__':
    run(main)
