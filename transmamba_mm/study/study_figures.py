"""Data of a study's figures, read from the logs of its trainings."""

import re
from pathlib import Path

from transmamba_mm.study.figures import plot_layer_weights
from transmamba_mm.study.scalars import read_scalars

#: How the WSAB distiller logs the adaptive weight of a student layer.
LAYER_WEIGHT = re.compile(r'(?:.*/)?layer(\d+)_weight$')


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
