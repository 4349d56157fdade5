"""Read one checkpoint file without executing code in it.

A ``.pth`` file is a pickle, and a pickle can call any function while it is read. Everything here
loads with ``weights_only=True`` plus the few harmless names that an mmengine checkpoint needs;
anything else is refused. (``weights_only`` is trustworthy from torch 2.6 on, see
CVE-2025-32434, which is why the package requires that version.)
"""

import pickle
import re
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_archive

#: What torch raises of a file that is not a checkpoint.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError)


def read_checkpoint(path: Path, map_location: str | torch.device = 'cpu') -> dict:
    """Read a checkpoint file as it was saved; see :func:`transmamba_mm.checkpoint.load_checkpoint`.

    Raises:
        UserError: not a checkpoint, or one that would execute code.
    """
    if path.suffix == '.safetensors':
        return {'state_dict': _load_safetensors(path, map_location)}
    if damage := _damage(path):
        raise UserError(f'{path} is damaged ({damage}): use another checkpoint or a copy of it.')
    try:
        with torch.serialization.safe_globals(_harmless_globals()):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UNREADABLE as error:
        raise UserError(explain_archive(path) or _why_unreadable(path, error)) from error
    if not isinstance(checkpoint, dict):
        raise UserError(f'{path} holds a {type(checkpoint).__name__}, not a dict of weights.')
    return checkpoint


def read_meta(path: Path) -> dict:
    """Read what a checkpoint notes of its training (epoch, iter, ...), and none of its weights.

    Empty where the file has no such notes, or cannot be read.
    """
    try:
        with torch.serialization.safe_globals(_harmless_globals()):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except (*UNREADABLE, OSError):
        return {}
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    return meta if isinstance(meta, dict) else {}


def _damage(path: Path) -> str:
    """The damage of a file, by the checksums that torch.save stores in it.

    A ``.pth`` is a zip archive. Each part carries its CRC-32, which torch does not check: it
    loads a weight with a flipped bit. The checksum moves with the file. Files in the format of
    torch before 1.6 have none.
    """
    try:
        with path.open('rb') as file:
            if file.read(2) != b'PK':
                return '' if path.stat().st_size else 'it is empty'
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception as error:  # zipfile raises nearly anything when it reads nonsense
        return f'{type(error).__name__}: {error}'
    return f'the checksum of {part} is wrong' if part else ''


def _load_safetensors(path: Path, map_location: str | torch.device) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path, device=str(map_location))
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f'{path} is not a safetensors file: {error}') from error


def _statistics_method(owner: type, name: str):
    """Stand in for ``getattr`` where an mmengine checkpoint asks for it, and for nothing else.

    A pickled ``HistoryBuffer`` refers to its own statistics (``HistoryBuffer.mean``, ...) that way.
    """
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed in a checkpoint')


def _harmless_globals() -> list:
    """List the data types that known trainers save beside tensors, under the names pickles use."""
    rebuilders = [value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    numeric = np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + '?'
    return [
        Namespace,  # the arguments that DeiT's and Vim's training scripts save beside the weights
        HistoryBuffer,
        (_statistics_method, 'builtins.getattr'),
        # numpy 1 and 2 pickle these two under different module names
        *(
            (function, f'numpy.{core}.multiarray.{function.__name__}')
            for function in rebuilders
            for core in ('core', '_core')
        ),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in numeric},
    ]


def _why_unreadable(path: Path, error: Exception) -> str:
    """Distinguish a checkpoint that would run code from a file that is not a checkpoint."""
    asked = re.search(r'GLOBAL (\S+)|(getattr\(.*\)) is not allowed', str(error))
    if asked:
        return (
            f'{path} was refused: reading it would execute code, it calls '
            f'{asked[1] or asked[2]}. Save the weights alone (torch.save(model.state_dict(), ...) '
            'or safetensors) where you trust the file, and load that.'
        )
    details = str(error).partition('WeightsUnpickler error:')[2].strip() or str(error)
    reason = details.partition('\n')[0]
    return f'{path} is not a checkpoint that PyTorch can read ({type(error).__name__}: {reason}).'
