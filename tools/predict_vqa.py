"""Ask a trained model about an image.

Examples:
    python tools/predict_vqa.py --checkpoint work_dirs/mambavqa-nano_llava-nano_easyvqa \\
        --image shape.png --question "What color is the shape?"
    python tools/predict_vqa.py --checkpoint student.safetensors --image shape.png \\
        --question "Is there a red shape?" \\
        --config configs/transmamba/mambavqa-nano_llava-nano_easyvqa.py

Several questions may be asked about one image. Out-of-vocabulary words are printed to standard
error.
"""

import argparse
import logging
import sys

from transmamba_mm import compat
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('--image', required=True, help='image file')
    parser.add_argument(
        '--question', required=True, nargs='+', action='extend', help='one question or several'
    )
    parser.add_argument('--checkpoint', required=True, help='.pth, .safetensors, work_dir or URL')
    parser.add_argument('--config', help='default: the one that your training left beside it')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the fastest there is')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Load the model, answer, print."""
    args = parse_args(argv)
    compat.load_checkpoints_safely()
    logging.disable(logging.WARNING)
    compat.import_datasets_quietly()
    from transmamba_mm.apis.answer_questions import VQAInferencer

    answerer = VQAInferencer(args.checkpoint, args.config, args.device)
    answers = answerer([args.image] * len(args.question), args.question)
    for question, answer in zip(args.question, answers, strict=True):
        _, unknown = answerer.words(question)
        if unknown:  # not among the answers, which are alone on standard output
            print(f'Out of vocabulary: {" ".join(unknown)}', file=sys.stderr, flush=True)
        print(f'{question} {answer}', flush=True)


if __name__ == '__main__':
    run(main)
