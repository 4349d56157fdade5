"""Make the data of moving digits: real mp4 videos of scikit-learn's handwritten digits.

Example:
    python tools/datasets/make_moving_digits.py
    python tools/datasets/make_moving_digits.py --out data/few_digits --train 480 --val 60 --test 60

Each video shows one digit that goes left, right, up or down, or first one way and then another, and
comes with two or three captions, such as 'a small seven moves slowly left, then up'. No image of a
digit is in two splits. The same arguments give the same videos; where they are already there,
nothing is done.
"""

import argparse

from rich.console import Console
from rich.progress import track

from transmamba_mm.datasets.make_moving_digits import make_moving_digits
from transmamba_mm.datasets.moving_digits import MEANINGS
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('--out', default='data/moving_digits', help='folder of the data set')
    parser.add_argument('--train', type=int, default=3000, help='videos')
    for split in ('val', 'test'):
        most = f'videos, at most {len(MEANINGS)}'
        parser.add_argument(f'--{split}', type=int, default=400, help=most)
    parser.add_argument('--seed', type=int, default=0, help='of all random choices')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace moving digits of other settings'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write all videos, unless they are there."""
    args = parse_args(argv)
    console = Console()
    counts = {'train': args.train, 'val': args.val, 'test': args.test}
    videos = make_moving_digits(args.out, counts, args.seed, args.overwrite)
    progress = track(videos, 'videos', sum(counts.values()), console=console, transient=True)
    done = sum(1 for _ in progress)
    state = f'Made {done} videos' if done else 'Nothing to do: the videos are already'
    console.out(f'{state} in {args.out}')


if __name__ == '__main__':
    run(main)
