"""The figures of a study, each one function that writes one PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from transmamba_mm.plots import COLORS, STYLE, save_figure
from transmamba_mm.study.scalars import Curve
from transmamba_mm.study.study import Study
from transmamba_mm.study.table import MARGIN, Row, mean_curve, reference_of, rows_of, split_of


def plot_accuracy(study: Study, block: str, path: str | Path) -> None:
    """A block's metric against the share of data, one panel per student.

    Bars are 95 % intervals; dashed is scratch with all data at its best, less the margin.
    """
    rows = rows_of(study, block)
    split = split_of(study, block)
    with plt.rc_context(STYLE):
        figure, panels = _panels(rows)
        for student, axes in panels.items():
            shown = [row for row in rows if row.student == student]
            for row, color in zip(shown, COLORS, strict=False):
                found = sorted(row.estimates(study.metric, split).items())
                percent = [100 * fraction for fraction, _ in found]
                means = np.array([estimate.mean for _, estimate in found])
                lows = [estimate.low for _, estimate in found]
                highs = [estimate.high for _, estimate in found]
                bars = None if lows == highs else (means - lows, highs - means)
                axes.errorbar(
                    percent, means, bars, label=_label(row), color=color, marker='o', capsize=3
                )
            scratch = reference_of(study, block, student)
            if scratch and 1 in (found := scratch.estimates(study.metric, split)):
                axes.axhline(found[1].mean - MARGIN, color=COLORS[0], linestyle='--')
            ticks = sorted({100 * fraction for row in shown for fraction in row.lines})
            axes.set_xscale('log')
            axes.set_xticks(ticks, [f'{value:g} %' for value in ticks])
            axes.minorticks_off()
            axes.set_xlabel('training data used')
            axes.set_title(student)
            axes.legend()
        next(iter(panels.values())).set_ylabel(f'{split}, %')
        save_figure(figure, path)


def plot_curves(study: Study, block: str, path: str | Path) -> None:
    """Validation against images seen with the most data, averaged over seeds."""
    rows = [row for row in rows_of(study, block) if row.lines]
    with plt.rc_context(STYLE):
        figure, panels = _panels(rows)
        for student, axes in panels.items():
            shown = [row for row in rows if row.student == student]
            for row, color in zip(shown, COLORS, strict=False):
                lines = list(row.lines[max(row.lines)].values())
                steps, values = mean_curve(lines)
                images = np.array(steps) * lines[0]['images'] / lines[0]['steps']
                axes.plot(images / 1000, values, label=_label(row), color=color, marker='.')
            axes.set_xlabel('images seen, thousands')
            axes.set_title(student)
            axes.legend(loc='lower right')
        next(iter(panels.values())).set_ylabel('val, %')
        save_figure(figure, path)


def _panels(rows: Sequence[Row]) -> tuple[plt.Figure, dict[str, plt.Axes]]:
    students = list(dict.fromkeys(row.student for row in rows)) or ['']
    figure, panels = plt.subplots(
        1, len(students), figsize=(1 + 4.5 * len(students), 4), sharey=True, squeeze=False
    )
    return figure, dict(zip(students, panels[0], strict=True))


def _label(row: Row) -> str:
    return f'{row.method}, {row.trial}' if row.trial else row.method


def plot_similarity(similarities: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Similarity of student layers (rows) and teacher layers (columns): one panel per student.

    Args:
        similarities: Title -> (student layers, teacher layers), each in [0, 1].
    """
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, panels = plt.subplots(
            1, len(similarities), figsize=(4 * len(similarities), 4.4), squeeze=False
        )
        for axes, (title, values) in zip(panels[0], similarities.items(), strict=True):
            image = axes.imshow(values, vmin=0, vmax=1, cmap='viridis', origin='lower')
            for (row, column), value in np.ndenumerate(np.asarray(values)):
                color = 'white' if value < 0.6 else 'black'
                axes.text(
                    column, row, f'{value:.2f}', ha='center', va='center', color=color, size=7
                )
            axes.set_xticks(range(np.shape(values)[1]))
            axes.set_yticks(range(np.shape(values)[0]))
            axes.set_title(title)
            axes.set_xlabel('teacher layer')
            axes.set_ylabel('student layer')
        label = 'linear CKA of patch features'
        figure.colorbar(image, ax=panels[0].tolist(), shrink=0.8, label=label)
        save_figure(figure, path)


def plot_layer_weights(curves: Mapping[int, Curve], path: str | Path, ylabel: str) -> None:
    """Adaptive weight of every student layer against steps.

    Args:
        curves: Student layer -> (steps, weights).
        ylabel: What the weights are.
    """
    colors = plt.get_cmap('viridis')(np.linspace(0, 0.95, len(curves)))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.5, 4))
        for (layer, (steps, values)), color in zip(sorted(curves.items()), colors, strict=True):
            axes.plot(steps, values, color=color, label=f'layer {layer}')
        axes.set_xlabel('step')
        axes.set_ylabel(ylabel)
        figure.legend(loc='outside right center')
        save_figure(figure, path)


def plot_images(images: np.ndarray, path: str | Path) -> None:
    """A square of images.

    Args:
        images (ndarray): (n, H, W, 1 or 3), values in [0, 1].
    """
    side = math.ceil(math.sqrt(len(images)))
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, panels = plt.subplots(side, side, figsize=(8, 8), squeeze=False)
        for axes in panels.flat:
            axes.axis('off')
        for axes, pixels in zip(panels.flat, images, strict=False):
            axes.imshow(pixels, vmin=0, vmax=1, cmap='gray')
        save_figure(figure, path)
