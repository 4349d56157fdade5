"""Decoded frames on disk, within a limit."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from transmamba_mm.checks import COUNT, POSITIVE, checked
from transmamba_mm.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

GB = 10**9
READING = 2  # a new number when readers or samplers give other frames than before
ABANDONED = 3600  # seconds after which a file that was never finished belongs to a dead process


@dataclass(frozen=True)
class ClipInfo:
    """Metadata of a cached video."""

    indices: tuple[int, ...]  # the cached frames
    shape: tuple[int, int]  # of the video


class CachedClip:
    """The cached frames of one video; only requested ones are read from the disk."""

    def __init__(self, file: Path) -> None:
        # open from here on: another process may delete the file before it is read
        opened = safe_open(file, framework='np')
        values = json.loads(opened.metadata()['clip'])
        self._frames = opened.get_slice('frames')
        self.info = ClipInfo(tuple(values['indices']), tuple(values['shape']))
        kept = self._frames.get_shape()[0]
        if kept != len(self.info.indices):
            raise ValueError(f'{file} keeps {kept} frames, not {len(self.info.indices)}')

    def read(self, places: Sequence[int]) -> np.ndarray:
        """Return the frames at ``places`` among the kept ones: (T, H, W, 3), uint8."""
        return np.concatenate([self._frames[int(place) : int(place) + 1] for place in places])


class FrameCache:
    """Frames as they leave the decoder: at their final size, raw, one file per video.

    Raw, because a jpeg of a frame costs about as long to decode as the same frame of the video, and
    so that training with and without the cache uses the same pixels. Some frames of a video and not
    all, because those of a 15 s clip at 224 pixels take 120 MB: see ``FrameSampler.candidates``. A
    file is safetensors, so that single frames can be read and a cut one is noticed.

    Several processes may share a folder: a file appears whole or not at all, and the bytes are
    counted under a lock. Where they would exceed the limit, the clips used longest ago go, down to
    nine tenths of it. A set larger than the limit is read through mostly without hits: raise the
    limit or make the frames smaller.

    Args:
        dir (str): Folder, made if it is missing.
        max_gb (float): Limit in GB (10^9 bytes).
        frames_per_segment (int): How many frames of each segment random sampling can choose from.
            Defaults to 4.

    Raises:
        UserError: If the limit or ``frames_per_segment`` is not positive, or the folder cannot be
            made.
    """

    @checked(max_gb=POSITIVE, frames_per_segment=COUNT)
    def __init__(self, dir: str, max_gb: float, frames_per_segment: int = 4) -> None:
        if fcntl is None:
            raise UserError('The cache needs the file locks of a POSIX system: remove cache.')
        self.folder = Path(dir).absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f'The cache folder {self.folder} cannot be made ({error.strerror}): change '
                'cache.dir.'
            ) from error
        self.max_bytes = int(max_gb * GB)
        self.frames_per_segment = frames_per_segment

    def key(self, path: str, *settings: object) -> str:
        """Name what ``settings`` make of the file or folder ``path`` as it is now.

        Raises:
            OSError: If it is missing.
        """
        stats = [os.stat(path)]
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                stats += [_stat(entry) for entry in sorted(entries, key=lambda entry: entry.name)]
        identity = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        name = repr((READING, os.path.abspath(path), identity, settings))
        return hashlib.sha1(name.encode()).hexdigest()

    def get(self, key: str) -> CachedClip | None:
        """Return the clip under ``key``, if it is there; one that cannot be read is deleted."""
        file = self._file(key)
        try:
            clip = CachedClip(file)
            os.utime(file)  # the time of use
            return clip
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            with contextlib.suppress(OSError):
                file.unlink()
            return None

    def put(self, key: str, frames: np.ndarray, info: ClipInfo) -> None:
        """Keep ``frames`` (T, H, W, 3) under ``key``; a clip larger than the limit is not kept.

        Raises:
            UserError: If the disk is full or the folder cannot be written to.
        """
        file = self._file(key)
        try:
            file.parent.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix='.tmp')
            os.close(handle)
            try:
                metadata = {'clip': json.dumps(asdict(info))}
                save_file({'frames': np.ascontiguousarray(frames)}, name, metadata)
                if self._make_room(os.path.getsize(name)):
                    os.replace(name, file)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f'The cache folder {self.folder} cannot be written to ({error}): free some space, '
                'lower cache.max_gb, or remove cache.'
            ) from error

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f'{key}.safetensors'

    @contextlib.contextmanager
    def _locked_total(self) -> Iterator[list[int]]:
        """Hold the lock of the folder, with the number of bytes in it as the only item."""
        with open(self.folder / 'total_bytes', 'a+') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            total = [int(text) if text.isdigit() else self.max_bytes]  # unknown: count
            yield total
            file.seek(0)
            file.truncate()
            file.write(str(total[0]))

    def _make_room(self, size: int) -> bool:
        """Reserve ``size`` bytes, deleting older entries; False if they never fit."""
        if size > self.max_bytes:
            return False
        with self._locked_total() as total:
            if total[0] + size > self.max_bytes:
                total[0] = self._evict(size)
            total[0] += size
        return True

    def _evict(self, size: int) -> int:
        """Delete the least recently used entries if necessary; return the remaining bytes."""
        for abandoned in self.folder.glob('*.tmp'):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - abandoned.stat().st_mtime > ABANDONED:
                    abandoned.unlink()
        clips = []
        for file in self.folder.glob('*/*.safetensors'):
            with contextlib.suppress(FileNotFoundError):
                stat = file.stat()
                clips.append((stat.st_mtime_ns, stat.st_size, file))
        total = sum(clip[1] for clip in clips)
        if total + size <= self.max_bytes:
            return total
        for _, length, file in sorted(clips, key=lambda clip: clip[0]):
            if total + size <= 0.9 * self.max_bytes or total == 0:
                break
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
            total -= length
        return total


def _stat(entry: os.DirEntry) -> os.stat_result:
    try:
        return entry.stat()
    except OSError:  # a link that leads nowhere
        return entry.stat(follow_symlinks=False)
