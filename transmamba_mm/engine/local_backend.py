"""mmengine's local file backend with atomic writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

from transmamba_mm.atomic_file import write_atomically

#: Its name in ``backend_args``.
ATOMIC_BACKEND = 'transmamba_mm.atomic'


class AtomicLocalBackend(LocalBackend):
    """A local disk with atomic writes: a file stays the old one until the new one is complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        write_atomically(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write a text."""
        write_atomically(filepath, obj.encode(encoding))


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)


class RemoveLater:
    """Another backend that removes files only when all is written."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._files: list[str] = []

    def remove(self, file: str) -> None:
        """Note a file."""
        self._files.append(str(file))

    def remove_now(self, besides: Sequence[str]) -> None:
        """Remove the noted files, except those in use again."""
        for file in self._files:
            if file not in besides and self._backend.isfile(file):
                self._backend.remove(file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
