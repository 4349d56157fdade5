"""One style for every figure."""

from pathlib import Path

import matplotlib

matplotlib.use('Agg')  # before pyplot: there may be no display

from matplotlib import pyplot as plt

STYLE = {
    'figure.dpi': 130,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'grid.alpha': 0.3,
    'legend.frameon': False,
    'font.size': 10,
    'figure.constrained_layout.use': True,
}
#: Colors that also differ for color-blind readers (Okabe and Ito), in the order of the methods.
COLORS = ['#999999', '#E69F00', '#0072B2', '#009E73', '#CC79A7', '#D55E00']


def save_figure(figure: plt.Figure, path: str | Path) -> None:
    """Write and close a figure; the folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
