"""Turn an official checkpoint into one of ours, for an ImageClassifier.

Examples:
    python tools/convert.py vim vim_t_midclstok_76p1acc.pth vim-tiny.pth
    python tools/convert.py vim vim_s_midclstok_80p5acc.pth vim-small.safetensors
    python tools/convert.py vmamba vssm1_tiny_0230s_ckpt_epoch_264.pth vmamba-tiny.pth
    python tools/convert.py videomamba videomamba_t16_k400_f8_res224.pth videomamba-tiny.pth
"""

import argparse

from transmamba_mm.apis.cli import run
from transmamba_mm.checkpoint import load_checkpoint, save_weights
from transmamba_mm.convert import from_official
from transmamba_mm.convert.official import FAMILIES


def main() -> None:
    """Read safely, rename, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('family', choices=sorted(FAMILIES), help='whose checkpoint it is')
    parser.add_argument('src', help='official checkpoint: file or URL')
    parser.add_argument('dst', help='.pth or .safetensors')
    args = parser.parse_args()
    weights = from_official(args.family, load_checkpoint(args.src))
    save_weights(weights, args.dst)
    print(f'{args.dst}: {len(weights)} tensors')


if __name__ == '__main__':
    run(main)
