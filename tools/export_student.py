"""Export the student of a transfer: its weights and its config.

Examples:
    python tools/export_student.py work_dirs/vim-nano_deit-nano_digits student.pth
    python tools/export_student.py epoch_300.pth student.safetensors --config transfer.py

mmpretrain reads both: ImageClassificationInferencer('student.py', 'student.pth'), and so do the
tools here. A student with parts from transformers checkpoints (MambaVQA) is rebuilt without
them, from the folder 'hf_assets' beside the file, which is written, too.
"""

import argparse

from transmamba_mm import compat
from transmamba_mm.launch.cli import HelpFormatter, run


def main(argv: list[str] | None = None) -> None:
    """Strip the prefix and everything that only training needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a transfer: file, work_dir or URL')
    parser.add_argument('out', help='.pth (mmpretrain reads it) or .safetensors')
    parser.add_argument('--config', help='of the transfer; default: the one beside the checkpoint')
    args = parser.parse_args(argv)
    compat.load_checkpoints_safely()
    compat.import_datasets_quietly()  # seconds --help need not wait
    from transmamba_mm.apis.export_student import export_student

    export = export_student(args.checkpoint, args.out, args.config)
    print(f'{args.out}: {export.tensors} tensors, {export.parameters:,} parameters')
    print(f'{export.config}: its config, to be kept beside it')
    if export.hf_assets:
        print(f'{export.hf_assets}: HF configs and tokenizer, needed beside it')


if __name__ == '__main__':
    run(main)
