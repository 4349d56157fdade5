"""What does distillation add to a training step? Methods and variants of a transfer, side by side.

A step is forward, losses, backward and the optimizer's update on one batch of random images. All
take turns in one process, once a round. "times" is a step over what cannot be saved, a step of the
student alone and a forward pass of the teacher, in the same round: the median of the rounds, and
their quartiles. Weights are random: no checkpoint is read.

Examples:
    python -m benchmarks.transfer_step --threads 2
    python -m benchmarks.transfer_step --methods logits fitnets wsab --variants layer_stride=4
"""

import argparse
from ast import literal_eval
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.timing import elapsed
from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import MODELS

CONFIG = 'configs/transmamba/vim-t_deit-s_in1k.py'
#: What a step takes at least.
LEAST = STUDENT, TEACHER = 'student alone', "teacher's forward"


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.transfer_step',
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument('config', nargs='?', default=CONFIG, help='transfer of a classifier')
    parser.add_argument('--methods', nargs='*', default=['logits', 'wsab'], help='of --method')
    parser.add_argument(
        '--variants',
        nargs='*',
        default=[],
        metavar='KEY=VALUE[,KEY=VALUE]',
        help="the config's own method with other arguments of the distiller",
    )
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--threads', type=int, help='default: as torch chooses')
    return parser.parse_args(argv)


def read_variant(text: str) -> dict[str, Any]:
    """Options of a config, of 'layer_stride=4,direction_weight=0'.

    Raises:
        UserError: Not of this form.
    """
    options = {}
    for part in text.split(','):
        key, equals, value = part.partition('=')
        if not equals:
            raise UserError(f'--variants {text!r}: write KEY=VALUE, separated by commas.')
        try:
            options[f'model.distiller.{key}'] = literal_eval(value)
        except (ValueError, SyntaxError):
            options[f'model.distiller.{key}'] = value
    return options


def random_batch(cfg: Config, batch_size: int) -> dict[str, Any]:
    """A batch as the config's data loader gives it to ``train_step``."""
    backbone = cfg.model.student.backbone
    if 'img_size' not in backbone or 'head' not in cfg.model.student:
        raise UserError(f'{cfg.filename} is no transfer of a classifier with an img_size.')
    side, channels = backbone.img_size, backbone.get('in_channels', 3)
    classes = cfg.model.student.head.num_classes
    images = torch.randint(0, 256, (batch_size, channels, side, side), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i % classes) for i in range(batch_size)]
    return {'inputs': images, 'data_samples': samples}


def train_step(model: nn.Module, cfg: Config, batch: dict[str, Any]) -> Callable[[], object]:
    """One training step of ``model``, as a Runner does it."""
    model.train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return lambda: model.train_step(dict(batch), optim_wrapper)


def build_calls(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """The timed functions, by name."""
    cfg = read_config(args.config)
    init_default_scope(cfg.default_scope)
    batch = random_batch(cfg, args.batch_size)
    configs = {method: read_config(args.config, method=method) for method in args.methods}
    for text in args.variants:
        configs[text] = read_config(args.config, read_variant(text))
    student, transfer = (
        MODELS.build({**part, 'data_preprocessor': cfg.data_preprocessor})
        for part in (cfg.model.student, cfg.model)
    )
    images = transfer.data_preprocessor(dict(batch))['inputs']
    images = transfer.teacher.preprocess(images, transfer.data_preprocessor)
    calls = {
        STUDENT: train_step(student, cfg, batch),
        TEACHER: partial(transfer.teacher, images),
    }
    for name, own in configs.items():
        model = MODELS.build({**own.model, 'data_preprocessor': own.data_preprocessor})
        calls[name] = train_step(model, own, batch)
    return calls


def measure(
    calls: dict[str, Callable[[], object]], rounds: int, console: Console
) -> Iterator[list[float]]:
    """Seconds of each call, round by round, after one round that warms up."""
    for number in range(rounds + 1):
        with console.status(f'round {number} of {rounds}'):
            seconds = [elapsed(call, torch.device('cpu')) for call in calls.values()]
        if number:
            yield seconds


def main(argv: list[str] | None = None) -> None:
    """Measure and print the table."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    console = Console()
    with console.status('building the models'):
        calls = build_calls(args)
    seconds = np.array(list(measure(calls, args.rounds, console)))  # (rounds, calls)
    table = Table('step', 'ms', 'times', 'quartiles', box=None)
    least = seconds[:, :2].sum(axis=1)  # student and teacher
    for name, own in zip(calls, seconds.T, strict=True):
        low, middle, high = np.quantile(own / least, (0.25, 0.5, 0.75))
        row = [f'{middle:.2f}', f'{low:.2f} to {high:.2f}'] if name not in LEAST else []
        table.add_row(name, f'{1000 * np.median(own):.0f}', *row)
    console.print(table)
    console.print(
        f'\n{args.config}, batch {args.batch_size}, {args.rounds} rounds, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}.'
    )


if __name__ == '__main__':
    run(main)
