"""Find and read checkpoints without executing code in them.

A ``.pth`` file is a pickle, and a pickle can call any function while it is read. Everything here
loads with ``weights_only=True`` plus the few harmless names that an mmengine checkpoint needs;
anything else is refused. (``weights_only`` is trustworthy from torch 2.6 on, see
CVE-2025-32434, which is why the package requires that version.)
"""

import io
import logging
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import safetensors
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor

from transmamba_mm.atomic_file import write_atomically
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_archive
from transmamba_mm.work_dir import checkpoints_in

#: What torch raises of a file that is no checkpoint.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError)


def load_checkpoint(source: str | Path, map_location: str | torch.device = 'cpu') -> dict:
    """Read a checkpoint as it was saved.

    Args:
        source: a ``.pth`` or ``.safetensors`` file, a work_dir (its last checkpoint), or a URL,
            which is downloaded once into torch's hub cache.
        map_location: device of the tensors.

    Returns:
        What the file holds; a safetensors file becomes ``{'state_dict': tensors}``.

    Raises:
        UserError: no file, not a checkpoint, or one that would execute code.
    """
    path = resolve_checkpoint(source)
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


def load_state_dict(source: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, whatever wraps them.

    Reads ``state_dict`` (mmengine, Lightning), then ``model`` (DeiT, Vim), then takes the file
    itself as the weights. A ``module.`` prefix from DataParallel is dropped.
    """
    checkpoint = load_checkpoint(source)
    weights = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not (
        isinstance(weights, Mapping)
        and weights
        and all(isinstance(value, Tensor) for value in weights.values())
    ):
        raise UserError(
            f'{source} holds no weights: expected tensors under "state_dict", under "model" or at '
            f'the top level, found the keys {sorted(map(str, checkpoint))[:8]}.'
        )
    return {str(key).removeprefix('module.'): value for key, value in weights.items()}


def check_weights_file(file: str | Path) -> Path:
    """Return ``file`` as a path; UserError unless it ends as :func:`save_weights` needs it."""
    file = Path(file)
    if file.suffix not in ('.pth', '.safetensors'):
        raise UserError(f'{file} must end in .pth or .safetensors.')
    return file


def check_finite(state: Mapping[str, Tensor], owner: str, key: str) -> None:
    """Reject weights that would teach NaN.

    Args:
        state (Mapping[str, Tensor]): The weights.
        owner (str): Whose they are.
        key (str): The config's key that names their checkpoint.

    Raises:
        UserError: A value is NaN or infinite.
    """
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    if bad:
        raise UserError(
            f'{owner} has weights that are NaN or infinite, in {len(bad)} of {len(state)} tensors, '
            f'first in {bad[0]}: its training diverged or the file is damaged. Name another '
            f'checkpoint: model.{key}.'
        )


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


def _apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that share no memory, as tied embeddings do, which safetensors refuses to write."""
    tensors, taken = {}, set()
    for key, value in weights.items():
        value = value.contiguous()
        place = value.untyped_storage().data_ptr()
        tensors[key] = value.clone() if place in taken else value
        taken.add(place)
    return tensors


def resolve_checkpoint(source: str | Path) -> Path:
    """Return the local file behind a path, a work_dir or a URL (downloading it if need be)."""
    if not isinstance(source, (str, Path)):
        raise UserError(f'{source!r} is no checkpoint: name a file, a work_dir or a URL.')
    if urlparse(str(source)).scheme in ('http', 'https'):
        return _download(str(source))
    path = Path(source).expanduser()
    if path.is_dir():
        newest = newest_checkpoint(path)
        if newest is None:
            raise UserError(
                f'{source} is a folder without a checkpoint (in {path.absolute()}): train it '
                'first, or name the checkpoint file itself.'
            )
        return newest
    if not path.is_file():
        raise UserError(
            f'No checkpoint at {source} (path: {path.absolute()}). Give a .pth or .safetensors '
            'file, a work_dir of a finished training, or a URL.'
        )
    return path


def newest_checkpoint(work_dir: str | Path, keys: Sequence[str] = ()) -> Path | None:
    """Find the newest checkpoint of a training that is whole.

    Args:
        work_dir: The folder of the training.
        keys: What the checkpoint has to hold; those without are passed over.

    Returns:
        Its path; None where there is no checkpoint. Damaged ones that are newer are named in a
        warning.

    Raises:
        UserError: There are checkpoints, but none is whole.
    """
    damaged = []
    for path in checkpoints_in(Path(work_dir)):
        try:
            checkpoint = load_checkpoint(path)
        except UserError as error:
            damaged.append(str(error))
            continue
        if all(key in checkpoint for key in keys):
            if damaged:
                text = f'{" ".join(damaged)} {path}, the previous one, is used instead.'
                print_log(text, logger='current', level=logging.WARNING)
            return path
    if damaged:
        raise UserError(
            f'No checkpoint in {work_dir} is complete: {" ".join(damaged)} Restore one from a '
            'copy, or start again in another work_dir.'
        )
    return None


def _download(url: str) -> Path:
    """Fetch ``url`` into torch's hub cache; the hash in the file's name, if any, is checked."""
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        match = torch.hub.HASH_REGEX.search(name)
        try:
            torch.hub.download_url_to_file(url, str(path), match.group(1) if match else None)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(
                f'Could not download {url} ({error}). Without a network, fetch it elsewhere and '
                f'put it at {path}, or name a local file instead of the URL.'
            ) from error
    return path


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
    """Distinguish a checkpoint that would run code from a file that is no checkpoint."""
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
