"""The file of an index of videos.

It is one safetensors file: ``embeddings`` (n, D) and ``manifest``, a JSON of the videos' relative
paths and stamps as bytes. It appears whole or not at all.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transmamba_mm.datasets.annotations import parse_json
from transmamba_mm.errors import UserError

FORMAT = 'transmamba_mm video index 1'
#: Size in bytes and time of the last change in nanoseconds, by which a changed video is known.
Stamp = tuple[int, int]


def write_index(file: Path, maker: str, stamps: Mapping[str, Stamp], vectors: Tensor) -> None:
    """Write the file.

    Args:
        file (Path): Folders are made.
        maker (str): Fingerprint of the model that made the embeddings.
        stamps (Mapping[str, Stamp]): By the videos' relative paths.
        vectors (Tensor): (n, D), in the same order.

    Raises:
        UserError: The disk is full or the folder cannot be written to.
    """
    manifest = json.dumps([[path, *stamp] for path, stamp in stamps.items()])
    tensors = {
        'manifest': torch.frombuffer(bytearray(manifest.encode()), dtype=torch.uint8),
        'embeddings': vectors,
    }
    unfinished = file.with_name(f'{file.name}.{os.getpid()}.tmp')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished, {'format': FORMAT, 'maker': maker})
        os.replace(unfinished, file)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise UserError(
            f'The index {file} cannot be written ({error}): free some space, or name '
            'another file with --index.'
        ) from error


def read_index(file: Path, maker: str, dims: int | None) -> tuple[dict[str, Stamp], Tensor]:
    """Read the file.

    Args:
        file (Path): The file.
        maker (str): Fingerprint of the model that has to have made the embeddings.
        dims (int, optional): Numbers of an embedding.

    Returns:
        Stamps by the videos' relative paths, and in the same order unit vectors (n, D).

    Raises:
        UserError: It is another model's, or something else.
    """
    try:
        with safe_open(file, 'pt') as opened:
            header = opened.metadata() or {}
            if header.get('format') != FORMAT:
                raise ValueError(f'its format is {header.get("format")!r}')
            if header.get('maker') == maker:
                stamps = _read_manifest(opened.get_tensor('manifest'))
                vectors = opened.get_tensor('embeddings')
                _check_vectors(vectors, len(stamps), dims)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f'{file} is no index of videos ({error}): name another file with --index, or '
            'overwrite it with --rebuild.'
        ) from error
    if header.get('maker') != maker:
        raise UserError(
            f'{file} was made by other weights or another test pipeline, so its '
            'embeddings cannot be compared with these: name another file with --index, or '
            'embed all videos again with --rebuild.'
        )
    return stamps, vectors


def _read_manifest(manifest: Tensor) -> dict[str, Stamp]:
    """Stamps of an index's videos; ValueError if it is none."""
    if manifest.dtype != torch.uint8 or manifest.dim() != 1:
        raise ValueError(f'manifest is {manifest.dtype} {tuple(manifest.shape)}, not bytes')
    entries = parse_json(bytes(manifest.numpy()))
    stamps: dict[str, Stamp] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, list) or [type(value) for value in entry] != [str, int, int]:
            raise ValueError(f'manifest holds {entry!r:.60}, not a path, a size and a time')
        if entry[0] in stamps:
            raise ValueError(f'manifest names {entry[0]!r} twice')
        stamps[entry[0]] = (entry[1], entry[2])
    return stamps


def _check_vectors(vectors: Tensor, count: int, dims: int | None) -> None:
    """ValueError unless they are ``count`` unit vectors of ``dims`` numbers."""
    shape = tuple(vectors.shape)
    if vectors.dtype != torch.float32 or vectors.dim() != 2 or len(vectors) != count:
        raise ValueError(f'embeddings are {vectors.dtype} {shape}, for {count} videos')
    if count and dims not in (None, shape[1]):
        raise ValueError(f'embeddings have {shape[1]} numbers, those of the model {dims}')
    lengths = vectors.norm(dim=1)
    if count and not (lengths - 1).abs().max() < 1e-3:  # of NaN neither
        raise ValueError('embeddings are not finite, or no unit vectors')
