"""Turn an official checkpoint into one of ours.

It becomes the weights of an ImageClassifier; a language model becomes a folder as transformers'
save_pretrained writes it. "teacher" reads a ViT, DeiT, DINOv2, SigLIP, CLIP or Swin of timm,
transformers, torchvision or facebookresearch, and also writes a config to name in _base_.

Examples:
    python tools/convert.py vim vim_t_midclstok_76p1acc.pth vim-tiny.pth
    python tools/convert.py vim vim_s_midclstok_80p5acc.pth vim-small.safetensors
    python tools/convert.py vmamba vssm1_tiny_0230s_ckpt_epoch_264.pth vmamba-tiny.pth
    python tools/convert.py plainmamba l1.pth plainmamba-l1.pth
    python tools/convert.py videomamba videomamba_t16_k400_f8_res224.pth videomamba-tiny.pth
    python tools/convert.py mamba_lm mamba-130m/pytorch_model.bin mamba-130m-hf
    python tools/convert.py teacher timm/deit_small_patch16_224.fb_in1k deit-small.pth
"""

import argparse
from pathlib import Path

from mmengine.config import Config

from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.convert import build_from_official, from_official
from transmamba_mm.convert.official import FAMILIES
from transmamba_mm.convert.teachers import read_pretrained
from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.weights_file import check_weights_file, save_weights


def main(argv: list[str] | None = None) -> None:
    """Read safely, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    families = sorted([*FAMILIES, 'teacher'])
    parser.add_argument('family', choices=families, help='of the model, or teacher')
    parser.add_argument(
        'src', help="official checkpoint: file or URL; a teacher's file, folder or hub name"
    )
    parser.add_argument('dst', help='.pth or .safetensors; a folder for mamba_lm')
    args = parser.parse_args(argv)
    if args.family == 'mamba_lm':
        convert_language_model(args.src, args.dst)
        return
    if args.family == 'teacher':
        convert_teacher(args.src, args.dst)
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


def convert_teacher(src: str, dst: str) -> None:
    """Write the weights to ``dst`` and the teacher's settings to a config beside it."""
    file = check_weights_file(dst)
    found = read_pretrained(src)
    save_weights(found.state, file)
    teacher = {
        'model': found.model,
        'checkpoint': str(file),
        'mean': found.mean,
        'std': found.std,
        'img_size': found.img_size,
    }
    config = file.with_suffix('.py')
    source = ' '.join(found.source.split())
    config.write_text(
        f'# {source}, of {found.library}.\n{Config({"teacher": teacher}).pretty_text}'
    )
    kind = found.model['backbone']['type']
    print(f'{found.library} {kind}, {found.num_classes} classes, {found.img_size[0]} pixels')
    print(f'{file}: {len(found.state)} tensors')
    print(f'{config}: name it in _base_, then model = dict(teacher=_base_.teacher, ...)')


if __name__ == '__main__':
    run(main)
