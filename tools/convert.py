"""Turn an official checkpoint into one of ours.

It becomes the weights of an ImageClassifier; a language model becomes a folder as transformers'
save_pretrained writes it.

Examples:
    python tools/convert.py vim vim_t_midclstok_76p1acc.pth vim-tiny.pth
    python tools/convert.py vim vim_s_midclstok_80p5acc.pth vim-small.safetensors
    python tools/convert.py vmamba vssm1_tiny_0230s_ckpt_epoch_264.pth vmamba-tiny.pth
    python tools/convert.py plainmamba l1.pth plainmamba-l1.pth
    python tools/convert.py videomamba videomamba_t16_k400_f8_res224.pth videomamba-tiny.pth
    python tools/convert.py mamba_lm mamba-130m/pytorch_model.bin mamba-130m-hf
"""

import argparse
from pathlib import Path

from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.convert import build_from_official, from_official
from transmamba_mm.convert.official import FAMILIES
from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.weights_file import save_weights


def main(argv: list[str] | None = None) -> None:
    """Read safely, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('family', choices=sorted(FAMILIES), help='whose checkpoint it is')
    parser.add_argument('src', help='official checkpoint: file or URL')
    parser.add_argument('dst', help='.pth or .safetensors; a folder for mamba_lm')
    args = parser.parse_args(argv)
    if args.family == 'mamba_lm':
        convert_language_model(args.src, args.dst)
        return
    weights = from_official(args.family, load_checkpoint(args.src))
    save_weights(weights, args.dst)
    print(f'{args.dst}: {len(weights)} tensors')


def convert_language_model(src: str, dst: str) -> None:
    """Write config, weights and generation settings into the folder ``dst``."""
    if Path(dst).suffix in ('.pth', '.safetensors'):
        raise UserError(f'A language model is saved as a folder, {dst} is named as a file.')
    model = build_from_official('mamba_lm', load_checkpoint(src))
    model.save_pretrained(dst)
    print(f'{dst}: {len(model.state_dict())} tensors')


if __name__ == '__main__':
    run(main)
