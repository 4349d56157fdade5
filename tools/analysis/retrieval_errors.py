"""Where does a trained retrieval student lose recall? By tower, and by attribute of a caption.

Example:
    python tools/analysis/retrieval_errors.py \\
        configs/transmamba/videomamba-nano_clip-nano_movingdigits.py \\
        work_dirs/videomamba-nano_clip-nano_movingdigits

Each tower of the student also stands beside the other tower of the teacher, which shows which of
the two loses. R@1 of an attribute counts the texts whose first video has their value of it,
whatever else differs. In percent, of the videos to choose on; --phase test when all is chosen.
"""

import argparse
from pathlib import Path

from transmamba_mm.apis.retrieval_errors import PHASES, RetrievalScores, retrieval_errors
from transmamba_mm.launch.cli import HelpFormatter, add_config_options, run
from transmamba_mm.launch.method import add_method_argument
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.tables import render


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='a retrieval config of configs/transmamba/')
    parser.add_argument(
        'checkpoints', nargs='*', help='files or work_dirs: transfers or students of the config'
    )
    parser.add_argument('--phase', choices=PHASES, default='val', help='whose videos are found')
    add_method_argument(parser)
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Score and print."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options, args.method)
    preflight(cfg, (args.phase,))
    found = retrieval_errors(cfg, {str(Path(path)): path for path in args.checkpoints}, args.phase)
    headings = ('videos of', 'texts of', 't2v R@1', 'v2t R@1', *found[0].attributes)
    print(render(f'R@1 in %, {args.phase}', 'checkpoint', headings, [_row(row) for row in found]))


def _row(scores: RetrievalScores) -> list[str]:
    values = scores.t2v, scores.v2t, *scores.attributes.values()
    return [scores.title, scores.video, scores.text, *(f'{value:.1f}' for value in values)]


if __name__ == '__main__':
    run(main)
