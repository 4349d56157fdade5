"""Read annotation files; errors name the fault and the fix.

Whoever made a file, reading it ends in its content or in one message with its name: no value of it
is dropped in silence, and none costs more than its size in memory.
"""

import csv
import json
import os
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from transmamba_mm.errors import UserError

#: Largest file in bytes, as it is read as a whole; the largest published one (LLaVA's mix665k) has
#: 1.0e9.
MAX_BYTES = 2 * 10**9
#: Bytes of a line of a jsonl file: an entry with more text than any model reads.
MAX_LINE = 2**24
TOO_LONG = f'a line of more than {MAX_LINE >> 20} MB'


def read_text(path: str | Path, advice: str) -> str:
    """Read a text in UTF-8, with or without the byte order mark.

    Args:
        path: Of the file.
        advice: What to do where it cannot be read.

    Raises:
        UserError: No such file, another encoding, more than ``MAX_BYTES``.
    """
    with _open(path, advice) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise UserError(
                f'{path} has {size:,} bytes, and a file of annotations at most {MAX_BYTES:,}. '
                f'{advice}'
            )
        content = file.read()
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(
            f'{path} is not UTF-8 ({error.reason} at byte {error.start}): save it in UTF-8.'
        ) from error


def read_lines(path: str | Path, advice: str) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and bytes of each line that is not empty; None of more than ``MAX_LINE``.

    Only ``\\n`` ends a line: ``str.splitlines`` also cuts where JSON allows it in a text.

    Raises:
        UserError: No such file.
    """
    with _open(path, advice) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            whole = len(line) <= MAX_LINE
            while not whole and line and not line.endswith(b'\n'):
                line = file.readline(MAX_LINE)
            if not whole or line.strip():
                yield number, line if whole else None


def parse_json(text: str | bytes) -> Any:
    """Read a JSON text.

    Raises:
        ValueError: Not JSON, not UTF-8, a key twice in one object, too deep; the message is the
            cause.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode('utf-8-sig')
        return json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ValueError('not UTF-8') from error
    except json.JSONDecodeError as error:
        raise ValueError(f'not JSON: {error}') from error
    except RecursionError as error:
        raise ValueError('nested too deep') from error


def read_json(path: str | Path, kind: type, advice: str) -> Any:
    """Read JSON that holds a ``kind``, a list or a dict; UserError with ``advice`` otherwise."""
    try:
        content = parse_json(read_text(path, advice))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f'{path} cannot be read: {error}. {advice}') from error
    if not isinstance(content, kind):
        raise UserError(
            f'{path} holds a {type(content).__name__}, not the {kind.__name__} that is expected. '
            f'{advice}'
        )
    return content


def read_csv(
    path: str | Path, columns: tuple[str, ...], advice: str
) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Yield place and values of each row of a csv; None of one that does not fit the columns.

    Args:
        path: Of the file.
        columns: That it has to have.
        advice: What to do where it cannot be read.

    Raises:
        UserError: No such file, not UTF-8, no csv, a column that is missing or there twice.
    """
    reader = csv.reader(StringIO(read_text(path, advice), newline=''))
    try:
        names = next(reader, [])
        for name in columns:
            if names.count(name) != 1:
                count = names.count(name) or 'no'
                raise UserError(f'{path} has {count} column {name}, not one. {advice}')
        for row in filter(None, reader):
            values = dict(zip(names, row, strict=True)) if len(row) == len(names) else None
            yield f'line {reader.line_num}', values
    except csv.Error as error:
        raise UserError(f'{path}, line {reader.line_num}: {error}. {advice}') from error


def is_unicode(text: str) -> bool:
    """Whether a tokenizer accepts it: JSON may hold half of a surrogate pair."""
    return text.isascii() or not any('\ud800' <= sign <= '\udfff' for sign in text)


def name_fault(name: object) -> str | None:
    """Why a value cannot be a file name, if so."""
    if not isinstance(name, str) or not name:
        return 'names no video'
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair
        return 'a name that is not Unicode'
    if b'\0' in encoded:
        return 'a name with a NUL byte'
    if max(map(len, encoded.split(b'/'))) > 255:
        return 'a name that is too long for a file'
    return None


def _open(path: str | Path, advice: str) -> BinaryIO:
    """Open a file; a pipe, which never ends, or a device is none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError(f'{path} is no file. {advice}')
        return open(path, 'rb')
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror}). {advice}') from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f'{path!r} is no name of a file ({error}). {advice}') from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key {twice!r} twice')
    return content
