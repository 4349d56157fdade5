"""Write files atomically: there is either the old file or the complete new one."""

import errno
import os
import shutil
from pathlib import Path

from transmamba_mm.errors import UserError

#: How the name of a file ends that is still being written.
PARTIAL = '.partial'

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(file: str | Path, data: bytes | memoryview) -> None:
    """Write ``data`` beside ``file``, flush it to the disk, then rename it to ``file``.

    A process that dies on the way leaves the old file as it was, and a ``.partial`` beside it.

    Args:
        file: Folders are made.
        data: All that the file is to hold.

    Raises:
        UserError: There is no room for it: names the file and the bytes; the old file is untouched.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f'.{file.name}.{os.getpid()}{PARTIAL}')
    try:
        with partial.open('wb') as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in NO_ROOM:
            raise UserError(describe_no_room(file, error, len(data))) from error
        raise
    _flush_folder(file.parent)


def remove_partial_files(folder: str | Path) -> None:
    """Remove what processes left that died while they wrote into ``folder``."""
    for partial in Path(folder).glob(f'.*{PARTIAL}'):
        partial.unlink(missing_ok=True)


def describe_no_room(file: str | Path, error: OSError, size: int | None = None) -> str:
    """Report that a file does not fit on the disk, and what to do.

    Args:
        file: Its path; or the name of a stream, such as '<stdout>'.
        error: One of :data:`NO_ROOM`.
        size: Bytes that it needs, if known.
    """
    text = f'{file} could not be written ({error.strerror}'
    folder = Path(file).parent
    if str(file).startswith('<') or not folder.is_dir():
        return f'{text}): free some space on its disk, or choose another place.'
    needs = '' if size is None else f'it needs {size:,} bytes, '
    return (
        f'{text}): {needs}the disk has {shutil.disk_usage(folder).free:,} bytes free. Free some '
        'space, or choose another folder; files written before are whole.'
    )


def _flush_folder(folder: Path) -> None:
    """Flush the new name itself, where folders can be opened (not on Windows)."""
    if os.name == 'posix':
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
