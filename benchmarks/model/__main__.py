"""What does the student cost, and the teacher? Time, memory and FLOPs by image size.

Example:
    python -m benchmarks.model configs/transmamba/vim-t_deit-t_in1k.py --train
    python -m benchmarks.model configs/transmamba/vim-t_deit-t_in1k.py \\
        --blocks 197 1024 4096 --cfg-options keep_freed_memory=True

Both models have random weights and positions made for the size, and take turns in one process;
times are the fastest of all calls. FLOPs are those of one image, counted as
benchmarks/flops.py defines. With --blocks one layer of each is compared instead.
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.progress import track

from benchmarks.figures import plot_crossover
from benchmarks.machine import describe_machine, machine_line, pick_device, write_json
from benchmarks.memory import MemoryProcess
from benchmarks.model.benchmark import benchmark_size, read_models
from benchmarks.model.blocks import BlockPair
from benchmarks.model.report import block_table, crossing, measured, model_table
from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.runtime import prepare_runtime

SIZES = [224, 384, 512, 640, 768, 1024]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.model', description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument('config', help='a config of configs/transmamba/')
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES, help='sides of the images')
    parser.add_argument('--train', action='store_true', help='time training steps, too')
    parser.add_argument('--blocks', type=int, nargs='+', metavar='TOKENS', help='compare blocks')
    parser.add_argument('--batch-size', type=int, default=8, help='images at once')
    parser.add_argument('--seconds', type=float, default=5.0, help='budget of each timing')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='where both run')
    parser.add_argument('--threads', type=int, help="default: torch's")
    parser.add_argument('--out', default='work_dirs/benchmark_model', help='folder of the results')
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, print, save and draw."""
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    prepare_runtime(cfg)
    models = read_models(cfg)
    device = pick_device(args.device, args.threads)
    machine = describe_machine(device)
    console = Console()
    console.out(machine_line(machine))
    out = Path(args.out)
    values = {'machine': machine, 'config': args.config, 'batch_size': args.batch_size}

    if args.blocks:
        pair = BlockPair.of(models, device)
        blocks = [
            pair.compare(tokens, args.batch_size, args.seconds, device)
            for tokens in track(args.blocks, 'blocks', console=console, transient=True)
        ]
        console.out(block_table(blocks, pair.width, args.batch_size, pair.attention))
        values |= {'attention': pair.attention, 'blocks': [block.as_dict() for block in blocks]}
        write_json(values, out / 'blocks.json')
        console.out(f'Saved {out}/blocks.json')
        return

    options = (args.batch_size, args.train, args.seconds, device)
    with MemoryProcess(device) as memory:
        results = [
            benchmark_size(models, size, *options, memory)
            for size in track(sorted(args.sizes), 'sizes', console=console, transient=True)
        ]
    console.out(model_table(results))
    values['crossover'] = {part: crossing(results, part) for part in measured(results)}
    values['sizes'] = [result.as_dict() for result in results]
    write_json(values, out / 'model.json')
    plot_crossover(results, out / 'model.png', machine_line(machine))
    console.out(f'Saved {out}/model.json and {out}/model.png')


if __name__ == '__main__':
    run(main)
