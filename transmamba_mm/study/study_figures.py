"""What the figures of a study show, read from the logs of its trainings."""

import re
from collections.abc import Sequence
from pathlib import Path

from transmamba_mm.study.data_efficiency import METRIC, Record
from transmamba_mm.study.figures import plot_layer_weights, plot_training
from transmamba_mm.study.scalars import Curve, read_scalars
from transmamba_mm.study.table import fractions_of

#: How the WSAB distiller logs the adaptive weight of a student layer.
LAYER_WEIGHT = re.compile(r'(?:.*/)?layer(\d+)_weight$')


def plot_training_curves(records: Sequence[Record], path: str | Path, seed: int = 0) -> None:
    """Draw test accuracy against steps for the trainings of one seed."""
    curves: dict[float, dict[str, Curve]] = {fraction: {} for fraction in fractions_of(records)}
    for record in records:
        if record.seed == seed:
            curves[record.fraction][record.method] = read_scalars(record.work_dir)[METRIC]
    plot_training(curves, path)


def plot_weights_over_time(work_dir: str | Path, path: str | Path) -> bool:
    """Draw the adaptive layer weights of one training; False if it logged none."""
    scalars = read_scalars(work_dir)
    curves = {
        int(found[1]): curve
        for name, curve in scalars.items()
        if (found := LAYER_WEIGHT.match(name))
    }
    if curves:
        plot_layer_weights(curves, path, 'adaptive weight of the student layer')
    return bool(curves)
