"""Embeddings of a folder of videos, kept in one file."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import LongTensor, Tensor, nn

from transmamba_mm.apis.index_file import Stamp, read_index, write_index
from transmamba_mm.errors import UserError

ROWS = 65536  # videos compared at a time


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
        self.file, self.maker = Path(file), maker
        self.stamps: dict[str, Stamp] = {}
        self._vectors: dict[str, Tensor] = {}
        self._stacked: Tensor | None = None
        if self.file.exists() and not rebuild:
            self.stamps, vectors = read_index(self.file, maker, dims)
            self._vectors = dict(zip(self.stamps, vectors, strict=True))

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
        stamps = {path: self.stamps[path] for path in self._vectors}
        vectors = self.vectors if stamps else torch.empty(0, 0)
        write_index(self.file, self.maker, stamps, vectors)
