"""Write the student of a transfer alone, for its plain config or another OpenMMLab project.

Examples:
    python tools/export_student.py work_dirs/vim-nano_deit-nano_digits student.pth
    python tools/export_student.py work_dirs/vim-s_deit-b_in1k/epoch_300.pth student.safetensors

A student that was made from checkpoints of transformers (MambaVQA) is built again without them,
from the folder 'architectures' beside the file, which is written, too.
"""

import argparse
from pathlib import Path

from transmamba_mm.apis.cli import run
from transmamba_mm.apis.student import student_weights
from transmamba_mm.checkpoint import load_checkpoint, load_state_dict, locate, save_weights


def main() -> None:
    """Strip the prefix and everything that only training needs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='checkpoint of a transfer: file, work_dir or URL')
    parser.add_argument('out', help='.pth or .safetensors')
    args = parser.parse_args()
    from transmamba_mm.models.architectures import (
        copy_architectures,  # seconds --help need not wait
    )

    meta = load_checkpoint(args.checkpoint).get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'iter') if key in meta}
    weights = student_weights(load_state_dict(args.checkpoint))
    architectures = copy_architectures(locate(args.checkpoint).parent, Path(args.out).parent)
    save_weights(weights, args.out, kept)
    count = sum(value.numel() for value in weights.values())
    print(f'{args.out}: {len(weights)} tensors, {count:,} parameters')
    if architectures:
        print(f'{architectures}: what it is built from, to be kept beside it')


if __name__ == '__main__':
    run(main)
