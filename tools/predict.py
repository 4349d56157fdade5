"""Classify images with a trained model.

Examples:
    python tools/predict.py work_dirs/mine photo.jpg
    python tools/predict.py work_dirs/mine photos/ --top 3 --show-dir pictures
    python tools/predict.py student.safetensors photo.jpg --config student.py
"""

import argparse
import logging

from transmamba_mm import compat
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('checkpoint', help='.pth, .safetensors, work_dir or URL')
    parser.add_argument('images', nargs='+', help='files, or folders of images')
    parser.add_argument('--config', help='default: the one that your training left beside it')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the fastest there is')
    parser.add_argument('--top', type=int, default=1, help='classes to print for each image')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--show-dir', help='folder for a picture of each image and its classes')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Load the model, classify, print."""
    args = parse_args(argv)
    compat.load_checkpoints_safely()
    logging.disable(logging.WARNING)
    compat.import_datasets_quietly()
    from transmamba_mm.apis.classify_images import ImageClassifierInferencer
    from transmamba_mm.checks import COUNT, check

    check('predict.py', '--top', args.top, COUNT)
    classify = ImageClassifierInferencer(args.checkpoint, args.config, args.device)
    for found in classify(args.images, args.batch_size, args.show_dir, progress=True):
        classes = ', '.join(f'{name} {score:.1%}' for name, score in found.top(args.top))
        print(f'{found.name}: {classes}', flush=True)


if __name__ == '__main__':
    run(main)
