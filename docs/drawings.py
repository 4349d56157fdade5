"""Draw the pictures of docs/method.md: python docs/drawings.py [FOLDER]."""

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

import transmamba_mm  # noqa: F401  (makes mmpretrain importable beside CPU torch; see compat.py)
from transmamba_mm.ops import bidirectional_order, cross_order, snake_order
from transmamba_mm.plots import COLORS, STYLE, save_figure

FOLDER = Path(__file__).parent / 'images'
GRID = (4, 4)
GRAY, ORANGE, BLUE, GREEN = COLORS[:4]


def draw_orders(path: str | Path) -> None:
    """The traversals of each family on a grid of 4x4 patches, from the functions that they run."""
    families = {
        'Vim, VideoMamba, swapped ViT: 2': bidirectional_order(GRID[0] * GRID[1]),
        'VMamba: 4': cross_order(GRID),
        'PlainMamba: 4': snake_order(GRID),
    }
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, rows = plt.subplots(len(families), 4, figsize=(7.2, 6.2))
        for row, (name, orders) in zip(rows, families.items(), strict=True):
            for axes in row:
                axes.set_axis_off()
            for direction, (axes, order) in enumerate(zip(row, orders, strict=False)):
                _draw_traversal(axes, order.numpy(), f'direction {direction}')
            row[0].text(-1.2, 1.5, name, rotation=90, ha='center', va='center', fontsize=9)
        save_figure(figure, path)


def _draw_traversal(axes: plt.Axes, order: np.ndarray, title: str) -> None:
    y, x = np.divmod(order, GRID[1])
    axes.set_title(title, fontsize=9)
    axes.set_xlim(-0.7, GRID[1] - 0.3)
    axes.set_ylim(GRID[0] - 0.3, -0.7)
    axes.set_aspect('equal')
    axes.scatter(*np.meshgrid(range(GRID[1]), range(GRID[0])), s=240, marker='s', color='#eeeeee')
    steps = np.hypot(np.diff(x), np.diff(y))
    for i, length in enumerate(steps):
        near = length < 1.5
        axes.annotate(
            '',
            (x[i + 1], y[i + 1]),
            (x[i], y[i]),
            arrowprops={
                'arrowstyle': '-|>',
                'color': BLUE if near else GRAY,
                'lw': 1.4 if near else 0.8,
                'linestyle': '-' if near else ':',
                'shrinkA': 3,
                'shrinkB': 3,
            },
        )
    axes.scatter(x[0], y[0], s=45, color=ORANGE, zorder=3)


def draw_gates(path: str | Path) -> None:
    """Where attention and MLP of a Transformer layer go in two blocks of a Mamba."""
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, axes = plt.subplots(figsize=(7.6, 3.4))
        axes.set_axis_off()
        axes.set_xlim(0, 10)
        axes.set_ylim(0, 5)
        even = 'even block: $W_v$ → x, $W_o$ → out_proj\nthe scan mixes'
        odd = 'odd block: $1.7\\,W_1$ → z, $W_2/1.7$ → out_proj\nthe scan is held at 1'
        _box(axes, 0.2, 3.2, 2.4, 'attention\n$W_v$, $W_o$', BLUE)
        _box(axes, 0.2, 0.6, 2.4, 'MLP\n$W_2\\,$GELU$(W_1 h)$', GREEN)
        _box(axes, 5.0, 3.2, 4.8, even, BLUE)
        _box(axes, 5.0, 0.6, 4.8, odd, GREEN)
        axes.text(1.4, 4.65, 'a layer of the Transformer', ha='center', fontsize=9)
        axes.text(7.4, 4.65, 'two blocks of the Mamba', ha='center', fontsize=9)
        for y in (3.8, 1.2):
            arrow = {'arrowstyle': '-|>', 'color': GRAY, 'lw': 1.6}
            axes.annotate('', (4.9, y), (2.7, y), arrowprops=arrow)
        axes.text(
            7.4, 0.15, 'out_proj(y · SiLU(z)) with y = 1 is an MLP', ha='center', fontsize=8.5
        )
        save_figure(figure, path)


def _box(axes: plt.Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    height = 1.2
    box = FancyBboxPatch(
        (x, y), width, height, boxstyle='round,pad=0.05', facecolor='white', edgecolor=color, lw=1.8
    )
    axes.add_patch(box)
    axes.text(x + width / 2, y + height / 2, text, ha='center', va='center', fontsize=9.5)


def main(argv: list[str] | None = None) -> None:
    """Write both pictures."""
    arguments = sys.argv[1:] if argv is None else argv
    folder = Path(arguments[0]) if arguments else FOLDER
    draw_orders(folder / 'scan_orders.png')
    draw_gates(folder / 'gate_rule.png')


if __name__ == '__main__':
    main()
