"""Files of annotations: what they hold, or what to do about them."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

from transmamba_mm.errors import UserError


def read_bytes(path: str | Path, advice: str) -> bytes:
    """Read a file; UserError with ``advice`` if that is impossible."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror}). {advice}') from error


def read_text(path: str | Path, advice: str) -> str:
    """Read a text in UTF-8, with or without the mark that says so."""
    try:
        return read_bytes(path, advice).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not UTF-8 ({error.reason} at {error.start}).') from error


def read_json(path: str | Path, kind: type, advice: str) -> Any:
    """Read JSON that holds a ``kind``, a list or a dict."""
    try:
        content = json.loads(read_text(path, advice))
    except json.JSONDecodeError as error:
        raise UserError(f'{path} is not JSON: {error}. Fetch it again.') from error
    if not isinstance(content, kind):
        raise UserError(
            f'{path} holds a {type(content).__name__}, not the {kind.__name__} that is expected. '
            f'{advice}'
        )
    return content


def read_csv(path: str | Path, columns: tuple[str, ...], advice: str) -> list[dict[str, str]]:
    """Read a csv that has these columns."""
    reader = csv.DictReader(StringIO(read_text(path, advice), newline=''))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f'{path} has no column {", ".join(missing)}. {advice}')
    return list(reader)
