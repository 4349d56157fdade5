"""Recognize CLIP in OpenAI's own format, which is supported through transformers only."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

#: Names on the hub, in transformers' format, of the archives that OpenAI hands out.
ON_THE_HUB = {
    'ViT-B-32.pt': 'openai/clip-vit-base-patch32',
    'ViT-B-16.pt': 'openai/clip-vit-base-patch16',
    'ViT-L-14.pt': 'openai/clip-vit-large-patch14',
    'ViT-L-14-336px.pt': 'openai/clip-vit-large-patch14-336',
}
ATTRIBUTES = (b'visual', b'text_projection')  # of the model's class in an archive
MAX_CODE = 2**20  # bytes of one file of an archive that are searched


def explain_archive(file: Path) -> str | None:
    """Why a TorchScript archive is not read, and what to take instead; None for other files."""
    try:
        with zipfile.ZipFile(file) as archive:
            code = [name for name in archive.namelist() if '/code/' in name]
            if not code:
                return None
            is_clip = any(_mentions_clip(archive, name) for name in code)
    except (OSError, zipfile.BadZipFile):
        return None
    if is_clip:
        return explain_clip(file)
    return (
        f'{file} is a TorchScript archive, which is code and not weights alone. Save the weights '
        'where you trust the file: torch.save(torch.jit.load(file).state_dict(), ...).'
    )


def is_openai_clip(keys: Iterable[str]) -> bool:
    """Whether a state dict has the keys of OpenAI's CLIP, or of one of its towers."""
    return any('transformer.resblocks.' in key for key in keys)


def explain_clip(source: str | Path) -> str:
    """Why ``source``, a CLIP of OpenAI, is not read, and what to take instead."""
    name = ON_THE_HUB.get(Path(source).name, 'openai/clip-vit-base-patch32')
    return (
        f"{source} is a CLIP in OpenAI's own format, which is not read. Take the same CLIP in "
        f"transformers' format, such as {name} or a folder of its save_pretrained, as checkpoint "
        'of a Clip4ClipTeacher, ClipText or ClipVision.'
    )


def _mentions_clip(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as file:
        text = file.read(MAX_CODE)
    return all(attribute in text for attribute in ATTRIBUTES)
