"""Write weights alone to a file."""

import io
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from transmamba_mm.atomic_file import write_atomically
from transmamba_mm.errors import UserError


def save_weights(weights: Mapping[str, Tensor], file: str | Path, meta: dict | None = None) -> None:
    """Write weights alone, as mmengine's ``state_dict`` (.pth) or as safetensors.

    Args:
        weights: what to save.
        file: its suffix decides the format; folders are made.
        meta: saved beside the weights in a ``.pth``, left out of safetensors.

    Raises:
        UserError: another suffix; no room on the disk.
    """
    file = check_weights_file(file)
    if file.suffix == '.pth':
        buffer = io.BytesIO()
        torch.save({'state_dict': dict(weights), 'meta': meta or {}}, buffer)
        write_atomically(file, buffer.getbuffer())
    else:
        write_atomically(file, safetensors.torch.save(_apart(weights)))


def check_weights_file(file: str | Path) -> Path:
    """Return ``file`` as a path; UserError unless it ends as :func:`save_weights` needs it."""
    file = Path(file)
    if file.suffix not in ('.pth', '.safetensors'):
        raise UserError(f'{file} must end in .pth or .safetensors.')
    return file


def _apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that share no memory, as tied embeddings do, which safetensors refuses to write."""
    tensors, taken = {}, set()
    for key, value in weights.items():
        value = value.contiguous()
        place = value.untyped_storage().data_ptr()
        tensors[key] = value.clone() if place in taken else value
        taken.add(place)
    return tensors
