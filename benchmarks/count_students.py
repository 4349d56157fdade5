"""How large is each student? Parameters, FLOPs at 224 pixels, directions of its scans.

Example:
    python -m benchmarks.count_students
    python -m benchmarks.count_students --students Vim VMamba --img-size 512

FLOPs are those of one image, a product and a sum counted as two; benchmarks/flops.py
documents what is counted. (The official tables count a product and a sum as one.) A VideoMamba's
input is one frame.
"""

import argparse
import importlib
import sys

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.flops import count_flops
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.registry import MODELS

STUDENTS = ('Vim', 'VMamba', 'PlainMamba', 'VideoMamba')


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.count_students',
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        '--students', nargs='+', choices=STUDENTS, default=STUDENTS, help='families'
    )
    parser.add_argument('--img-size', type=int, default=224, help='side of the image')
    return parser.parse_args(argv)


def sizes_of(student: str, arch: str, img_size: int) -> tuple[float, float, int]:
    """Return millions of parameters, billions of FLOPs, and directions of a backbone."""
    config = {'type': student, 'arch': arch}
    if student == 'VideoMamba':
        config['num_frames'] = 1
    if student != 'VMamba':  # which has no positions
        config['img_size'] = img_size
    model = MODELS.build(config).eval()
    image = torch.randn(1, 3, img_size, img_size)
    with torch.no_grad():
        flops = sum(count_flops(lambda: model(image)).values())
    directions = len(model.directions((2, 2)))
    return sum(p.numel() for p in model.parameters()) / 1e6, flops / 1e9, directions


def main(argv: list[str] | None = None) -> None:
    """Count and print."""
    args = parse_args(argv)
    pairs = []
    for student in args.students:
        module = importlib.import_module(MODELS.get(student).__module__)
        pairs += [(student, arch) for arch in module.ARCHS if arch != 'nano']
    table = Table('student', 'parameters, M', f'GFLOPs at {args.img_size}', 'directions')
    progress = Console(stderr=True, force_terminal=sys.stderr.isatty())
    for student, arch in track(pairs, 'counting', console=progress, transient=True):
        parameters, flops, directions = sizes_of(student, arch, args.img_size)
        table.add_row(f'{student} {arch}', f'{parameters:.1f}', f'{flops:.1f}', str(directions))
    Console().print(table)


if __name__ == '__main__':
    run(main)
