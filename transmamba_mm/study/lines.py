"""The results of a study: a file of JSON lines, each a finished training."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transmamba_mm.errors import UserError


def read_lines(path: str | Path) -> list[dict]:
    """All lines; none if there is no file yet.

    Raises:
        UserError: A line that is no JSON object; names it.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            lines.append(dict(json.loads(text)))
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{path}, line {number}, is no JSON object ({error}): repair or delete that line; '
                'its training is then run again.'
            ) from error
    return lines


def append_line(path: str | Path, line: Mapping[str, Any]) -> None:
    """Append a line and flush it to the disk."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(line) + '\n')
        file.flush()
        os.fsync(file.fileno())


def seconds_per_step(lines: Iterable[dict]) -> dict[tuple[str, str | None], float]:
    """Seconds per step, by config and method."""
    sums: dict[tuple[str, str | None], list[float]] = {}
    for line in lines:
        total = sums.setdefault((line['config'], line['method']), [0.0, 0.0])
        total[0] += line['seconds']
        total[1] += line['steps']
    return {kind: seconds / steps for kind, (seconds, steps) in sums.items()}
