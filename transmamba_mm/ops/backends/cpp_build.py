"""Build ``csrc/`` with the system's compiler and load it, once per machine.

The shared library is kept under ``$TRANSMAMBA_CACHE``, else ``$XDG_CACHE_HOME/transmamba_mm``, else
``~/.cache/transmamba_mm``, under a name that hashes the source, the flags and every macro the
compiler predefines, which identify its version and the instruction set of this CPU. It is written
to a temporary name and renamed, behind a lock, so that many processes can start at once.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / 'csrc'
CACHE_ENVIRONMENT = 'TRANSMAMBA_CACHE'

# Not -ffast-math: it would break the rounding that exp2 relies on, and NaN must stay visible.
_FLAGS = ['-std=c++17', '-O3', '-fPIC', '-shared', '-w']
_FLAGS += ['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast']
_NATIVE = '-march=native' if platform.machine() in ('x86_64', 'AMD64', 'i686') else '-mcpu=native'
# From the fastest to what any compiler takes; Apple's clang has no OpenMP.
_VARIANTS: tuple[list[str], ...] = ([_NATIVE, '-fopenmp'], [_NATIVE], [])


class BuildError(RuntimeError):
    """No library; the message gives the reason in one line."""


def load_library(sources: Path = SOURCES) -> ctypes.CDLL:
    """Return the compiled kernels, building them if this machine has not done so yet.

    Args:
        sources: Folder of C++ files; they may include the headers of ``csrc/``.

    Raises:
        BuildError: no compiler, a failed compilation, or a cache that cannot be written.
    """
    compiler = _compiler()
    error = BuildError('nothing was tried')
    for variant in _VARIANTS:
        try:
            return _load(_built(compiler, [*_FLAGS, *variant], sources))
        except BuildError as failure:
            error = failure
    raise error


def cache_directory() -> Path:
    """Return where built libraries are kept; nothing is created."""
    if chosen := os.environ.get(CACHE_ENVIRONMENT):
        return Path(chosen)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'transmamba_mm'


def _compiler() -> list[str]:
    names = [os.environ['CXX']] if os.environ.get('CXX') else ['g++', 'clang++', 'c++']
    for name in names:
        command = shlex.split(name)
        if shutil.which(command[0]):
            return command
    raise BuildError(f'no C++ compiler ({", ".join(names)}) was found; install one or set CXX')


def _built(compiler: list[str], flags: list[str], sources: Path) -> Path:
    macros = _run([*compiler, *flags, '-dM', '-E', '-x', 'c++', os.devnull])
    key = hashlib.sha256('\0'.join([*compiler, *flags, macros]).encode())
    code = sorted(path for path in sources.iterdir() if path.suffix == '.cpp')
    for source in (*code, *sorted(SOURCES.glob('*.h'))):
        key.update(source.read_bytes())
    directory = cache_directory()
    library = directory / f'transmamba_mm-{key.hexdigest()[:16]}.so'
    if library.exists():
        return library
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(library.with_suffix('.lock')):
            if not library.exists():
                handle, temporary = tempfile.mkstemp('.so', 'building-', directory)
                os.close(handle)
                try:
                    _run([*compiler, *flags, f'-I{SOURCES}', '-o', temporary, *map(str, code)])
                    _load(Path(temporary))  # nothing broken enters the cache
                    os.replace(temporary, library)
                finally:
                    Path(temporary).unlink(missing_ok=True)
    except OSError as failure:
        raise BuildError(
            f'the cache directory {directory} cannot be written ({failure.strerror}); '
            f'point {CACHE_ENVIRONMENT} at one that can'
        ) from failure
    return library


def _load(library: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(library))
    except OSError as failure:
        raise BuildError(f'the built library does not load: {_one_line(str(failure))}') from failure


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process build while the others wait; without flock each builds its own copy."""
    with open(path, 'w') as lock:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    except OSError as failure:
        raise BuildError(f'{command[0]} cannot be run ({failure.strerror})') from failure
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = next((line for line in lines if 'error' in line), lines[-1] if lines else 'nothing')
        raise BuildError(f'{command[0]} failed ({done.returncode}): {_one_line(said)}')
    return done.stdout


def _one_line(text: str) -> str:
    return ' '.join(text.split())[:300]
