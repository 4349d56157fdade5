"""Embeddings of a folder of videos, kept in one file."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import LongTensor, Tensor, nn

from transmamba_mm.datasets.annotations import parse_json
from transmamba_mm.errors import UserError

FORMAT = 'transmamba_mm video index 1'
ROWS = 65536  # videos compared at a time
#: Size in bytes and time of the last change in nanoseconds, by which a changed video is known.
Stamp = tuple[int, int]


def file_stat(path: str | Path) -> Stamp:
    """Stamp of a video: a file, or a folder of frames; (0, 0) of a link into nowhere."""
    paths = [path]
    if os.path.isdir(path):
        paths += [os.path.join(path, name) for name in os.listdir(path)]
    stats = []
    for each in paths:
        with contextlib.suppress(OSError):
            stats.append(os.stat(each))
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def search_index(queries: Tensor, vectors: Tensor, top: int) -> tuple[Tensor, LongTensor]:
    """Cosines and places (n, k) of the k nearest of unit vectors (m, D) to queries (n, D), exactly.

    A product of matrices, in blocks, and not faiss: 100,000 embeddings of 512 numbers take 205 MB
    and 13 ms for a text on two cores of a server::

        python -m timeit -s "import torch; v = torch.randn(100000, 512); q = v[:1]" \\
            "(q @ v.T).topk(10)"

    Both grow in proportion to the videos, which is a second and 20 GB at some ten million. There
    faiss begins to pay, by its approximate and compressed indexes; its exact one (``IndexFlatIP``)
    is this same product.
    """
    scores, places = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0).long()
    for start in range(0, len(vectors), ROWS):
        block = queries @ vectors[start : start + ROWS].T
        numbers = torch.arange(start, start + block.shape[1]).expand_as(block)
        scores, places = torch.cat([scores, block], 1), torch.cat([places, numbers], 1)
        scores, order = scores.topk(min(top, scores.shape[1]))
        places = places.gather(1, order)
    return scores, places


def weights_hash(model: nn.Module, settings: object) -> str:
    """Hash the weights and ``settings``: embeddings with equal hashes can be compared."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()


class VideoIndex:
    """Unit vectors of videos by their paths, and by whom they were made.

    On disk it is one safetensors file: ``embeddings`` (n, D) and ``manifest``, a JSON of the
    videos' relative paths and stamps as bytes. It appears whole or not at all.

    Args:
        file (str | Path): Read if it is there.
        maker (str): Fingerprint of the model that makes the embeddings.
        rebuild (bool): Start an empty index, even if the file exists.
        dims (int, optional): Numbers of an embedding.

    Raises:
        UserError: The file is another model's, or something else.
    """

    def __init__(
        self, file: str | Path, maker: str, rebuild: bool = False, dims: int | None = None
    ) -> None:
        self.file, self.maker, self.dims = Path(file), maker, dims
        self.stamps: dict[str, Stamp] = {}
        self._vectors: dict[str, Tensor] = {}
        self._stacked: Tensor | None = None
        if self.file.exists() and not rebuild:
            self._load()

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def paths(self) -> list[str]:
        """Relative paths of the videos, in the order of :attr:`vectors`."""
        return list(self._vectors)

    @property
    def vectors(self) -> Tensor:
        """(n, D)."""
        if self._stacked is None:
            self._stacked = torch.stack(list(self._vectors.values()))
        return self._stacked

    def put(self, path: str, made: Stamp, vector: Tensor) -> None:
        """Store the vector (D,) of a video with its modification stamp ``made``."""
        self.stamps[path], self._vectors[path] = made, vector
        self._stacked = None

    def update(self, there: Mapping[str, Stamp]) -> tuple[list[str], int]:
        """Forget videos that are gone or have changed.

        Args:
            there: Relative path and stat of each video on the disk.

        Returns:
            The paths that are to be embedded, and how many videos are gone.

        Raises:
            UserError: Not one video of the index is there.
        """
        if self.stamps and not self.stamps.keys() & there.keys():
            raise UserError(
                f'{self.file} is an index of other videos ({next(iter(self.stamps))}, ...): name '
                'another file with --index, or rebuild it with --rebuild.'
            )
        gone = self.stamps.keys() - there.keys()
        changed = {path for path in self.stamps.keys() - gone if self.stamps[path] != there[path]}
        for path in gone | changed:
            del self.stamps[path], self._vectors[path]
        self._stacked = None
        return [path for path in there if path not in self.stamps], len(gone)

    def save(self) -> None:
        """Write the file.

        Raises:
            UserError: The disk is full or the folder cannot be written to.
        """
        manifest = json.dumps([[path, *self.stamps[path]] for path in self._vectors])
        tensors = {
            'manifest': torch.frombuffer(bytearray(manifest.encode()), dtype=torch.uint8),
            'embeddings': self.vectors if self.stamps else torch.empty(0, 0),
        }
        unfinished = self.file.with_name(f'{self.file.name}.{os.getpid()}.tmp')
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, unfinished, {'format': FORMAT, 'maker': self.maker})
            os.replace(unfinished, self.file)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise UserError(
                f'The index {self.file} cannot be written ({error}): free some space, or name '
                'another file with --index.'
            ) from error

    def _load(self) -> None:
        try:
            with safe_open(self.file, 'pt') as opened:
                header = opened.metadata() or {}
                if header.get('format') != FORMAT:
                    raise ValueError(f'its format is {header.get("format")!r}')
                if header.get('maker') == self.maker:
                    stamps = _read_manifest(opened.get_tensor('manifest'))
                    vectors = opened.get_tensor('embeddings')
                    _check_vectors(vectors, len(stamps), self.dims)
        except (SafetensorError, OSError, ValueError) as error:
            raise UserError(
                f'{self.file} is no index of videos ({error}): name another file with --index, or '
                'overwrite it with --rebuild.'
            ) from error
        if header.get('maker') != self.maker:
            raise UserError(
                f'{self.file} was made by other weights or another test pipeline, so its '
                'embeddings cannot be compared with these: name another file with --index, or '
                'embed all videos again with --rebuild.'
            )
        self.stamps = stamps
        self._vectors = dict(zip(stamps, vectors, strict=True))


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
