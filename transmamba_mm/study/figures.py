"""The figures of a study, each one function that writes one PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from transmamba_mm.plots import COLORS, STYLE, save_figure
from transmamba_mm.study.data_efficiency import Record
from transmamba_mm.study.scalars import Curve
from transmamba_mm.study.table import (
    accuracies,
    fractions_of,
    methods_of,
    spread,
)


def plot_accuracy(
    records: Sequence[Record], path: str | Path, metric: str = 'test accuracy'
) -> None:
    """A metric against the share of training data; error bars are the spread over seeds."""
    fractions = fractions_of(records)
    percent = [100 * fraction for fraction in fractions]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 4))
        for method, color in zip(methods_of(records), COLORS, strict=False):
            values = [accuracies(records, method, fraction) for fraction in fractions]
            axes.errorbar(
                percent,
                [v.mean() for v in values],
                yerr=[spread(v) for v in values] if len(values[0]) > 1 else None,
                label=method,
                color=color,
                marker='o',
                capsize=3,
            )
        axes.set_xscale('log')
        axes.set_xticks(percent, [f'{value:g} %' for value in percent])
        axes.minorticks_off()
        seeds = len({record.seed for record in records})
        axes.set_xlabel('training data used, equal number of steps')
        axes.set_ylabel(f'{metric}, %')
        axes.set_title(f'mean of {seeds} seeds ± std' if seeds > 1 else 'one seed')
        axes.legend()
        save_figure(figure, path)


def plot_training(curves: Mapping[float, Mapping[str, Curve]], path: str | Path) -> None:
    """Test accuracy against steps: one panel per fraction, one line per method.

    Args:
        curves: Fraction -> method -> (steps, accuracies in percent).
    """
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1, len(curves), figsize=(3.4 * len(curves), 3.4), sharey=True, squeeze=False
        )
        for axes, (fraction, methods) in zip(panels[0], curves.items(), strict=True):
            for (method, (steps, values)), color in zip(methods.items(), COLORS, strict=False):
                axes.plot(steps, values, label=method, color=color)
            axes.set_title(f'{100 * fraction:g} % of the data')
            axes.set_xlabel('step')
        panels[0][0].set_ylabel('test accuracy, %')
        panels[0][0].legend(loc='lower right')
        save_figure(figure, path)


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
