"""Find checkpoints by a file, a work_dir or a URL, and read what they hold."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log
from torch import Tensor

from transmamba_mm.checkpoint_file import read_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.work_dir import checkpoints_in


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
    return read_checkpoint(resolve_checkpoint(source), map_location)


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
