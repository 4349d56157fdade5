"""The figures of the benchmarks, each one function that writes one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.model.benchmark import ROLES, SizeResult
from benchmarks.model.report import PARTS as LABELS
from benchmarks.model.report import crossing, measured, overtaking
from benchmarks.scan.benchmark import ScanResult
from transmamba_mm.plots import COLORS, STYLE, save_figure

#: What is timed: its label, color, and the line of its floor.
PARTS = {
    'forward': ('forward', COLORS[2], ':'),
    'both': ('forward + backward', COLORS[1], '--'),
}
#: Behind the numbers, so that lines do not cross them.
LABEL_BOX = {'facecolor': 'white', 'edgecolor': 'none', 'pad': 1}
FLOOR = MARK = COLORS[5]


def plot_scan(results: Sequence[ScanResult], path: str | Path, title: str) -> None:
    """Milliseconds of every implementation, one panel per shape, the floor as lines.

    Args:
        results (Sequence[ScanResult]): One per panel, all of the same implementations; those that
            cannot run here are left out.
        path (str | Path): Of the PNG.
        title (str): What the benchmark ran on.
    """
    names = [row.name for row in results[0].rows if row.forward is not None]
    positions = np.arange(len(names))
    with plt.rc_context({**STYLE, 'axes.grid.axis': 'x', 'axes.spines.left': False}):
        figure, panels = plt.subplots(
            1,
            len(results),
            figsize=(1.6 + 2.9 * len(results), 1.8 + 0.5 * len(names)),
            sharey=True,
            squeeze=False,
        )
        for axes, result in zip(panels[0], results, strict=True):
            times = {
                part: [
                    getattr(getattr(row, part), 'min', None)
                    for row in result.rows
                    if row.name in names
                ]
                for part in PARTS
            }
            left = result.floor.forward / 2
            right = max(filter(None, times['forward'] + times['both']))
            axes.set_xscale('log')
            axes.set_xlim(left, 6 * right)  # room for the labels
            for (part, (label, color, line)), offset in zip(
                PARTS.items(), (-0.2, 0.2), strict=True
            ):
                for position, value in zip(positions + offset, times[part], strict=True):
                    axes.barh(position, value or 0, 0.36, color=color, label=label)
                    axes.annotate(
                        f'{value:.3g}' if value else 'not run',
                        (value or left, position),
                        xytext=(3, 0),
                        textcoords='offset points',
                        va='center',
                        fontsize=8,
                        color='#444444',
                        bbox=LABEL_BOX,
                    )
                    label = None  # one entry in the legend
                floor = getattr(result.floor, part)
                axes.axvline(floor, color=FLOOR, linestyle=line, label=f'floor, {PARTS[part][0]}')
            axes.set_title(str(result.shape))
            axes.set_xlabel('ms')
            axes.tick_params('y', length=0)
        panels[0][0].set_yticks(positions, names)
        panels[0][0].invert_yaxis()
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower center', ncols=len(labels))
        figure.suptitle(f'Selective scan, B·D·L·N: {title}', fontsize=11)
        save_figure(figure, path)


def plot_crossover(results: Sequence[SizeResult], path: str | Path, title: str) -> None:
    """Time per image of student and teacher against patches; marks where the student overtakes.

    Args:
        results (Sequence[SizeResult]): By size, ascending.
        path (str | Path): Of the PNG.
        title (str): What the benchmark ran on.
    """
    parts = measured(results)
    tokens = [result.tokens for result in results]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(parts), figsize=(5.4 * len(parts), 4.2), squeeze=False)
        for axes, part in zip(panels[0], parts, strict=True):
            for role, color in zip(ROLES, (COLORS[2], COLORS[1]), strict=True):
                times = [result.per_image(role, part) for result in results]
                axes.plot(tokens, times, marker='o', color=color, label=role)
            axes.set_xscale('log')
            axes.set_yscale('log')
            place = crossing(results, part)
            if place is not None and place > tokens[0]:
                height = np.exp(np.interp(np.log(place), np.log(tokens), np.log(times)))
                axes.plot(place, height, 'o', markersize=12, fillstyle='none', color=MARK)
                axes.axvline(place, color=MARK, linestyle=':')
            labels = [f'{result.tokens:,}\n{result.size} px' for result in results]
            axes.set_xticks(tokens, labels)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter('{x:g}')
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_xlabel('patches')
            axes.set_ylabel('ms per image')
            axes.set_title(f'{LABELS[part]}, crossover\n{overtaking(results, part)}')
            axes.legend()
        figure.suptitle(title)
        save_figure(figure, path)
