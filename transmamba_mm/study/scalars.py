"""Read the scalars logged by a runner."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from transmamba_mm.errors import UserError

Curve = tuple[np.ndarray, np.ndarray]


def read_scalars(work_dir: str | Path) -> dict[str, Curve]:
    """Every scalar that mmengine's ``LocalVisBackend`` wrote below ``work_dir``.

    A training that was interrupted and resumed left one file per start; where two of them cover the
    same step, the later one counts.

    Returns:
        dict[str, tuple[ndarray, ndarray]]: Steps (n,), ascending, and values (n,) by name.

    Raises:
        UserError: If there is no log, or a line of one that is no entry, but for the last.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise UserError(f'{work_dir} holds no log of a training (*/vis_data/scalars.json).')
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for file in files:
        lines = file.read_text(encoding='utf-8', errors='replace').splitlines()
        for number, line in enumerate(lines, 1):
            try:
                entry = dict(json.loads(line))
                step = int(entry.pop('step'))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                if number == len(lines):  # of a training that was killed while it wrote
                    continue
                raise UserError(f'{file}, line {number}, is no entry of a log: {error}.') from error
            for name, value in entry.items():
                curves[name][step] = value
    return {
        name: (np.array(sorted(curve)), np.array([curve[step] for step in sorted(curve)]))
        for name, curve in curves.items()
    }
