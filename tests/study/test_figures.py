"""Every figure ends as a PNG that shows what it was given."""

import numpy as np
import pytest
from matplotlib import image
from matplotlib import pyplot as plt

from tests.study.hand_made import line, make_study
from transmamba_mm.study import figures

STEPS = np.arange(1, 6)


@pytest.fixture
def drawn(monkeypatch):
    """Keep figures open for inspection."""
    kept = []
    monkeypatch.setattr(plt, 'close', kept.append)
    yield kept
    monkeypatch.undo()
    plt.close('all')


def check_png(path):
    pixels = image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 0.02  # not blank


def test_accuracy(tmp_path, drawn):
    figures.plot_accuracy(make_study(tmp_path), 'headline', tmp_path / 'sub' / 'a.png')
    check_png(tmp_path / 'sub' / 'a.png')
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['scratch', 'wsab']
    assert sorted(label.get_text() for label in axes.get_xticklabels()) == ['10 %', '100 %', '25 %']
    assert len([line for container in axes.containers for line in container.lines[2]]) == 2
    scratch = axes.containers[0].lines[0]
    assert list(scratch.get_xdata()) == [10, 25, 100]
    assert list(scratch.get_ydata()) == [80.0, 83.5, 86.0]
    assert axes.lines[-1].get_ydata()[0] == 86.0 - 0.3


def test_curves_over_images_seen(tmp_path, drawn):
    curves = {0: [[50, 80.0], [100, 86.0]], 1: [[50, 82.0], [100, 88.0]]}
    lines = [line('wsab', 1, seed, 0.0, val_curve=curve) for seed, curve in curves.items()]
    figures.plot_curves(make_study(tmp_path, lines), 'headline', tmp_path / 'c.png')
    check_png(tmp_path / 'c.png')
    (curve,) = drawn[0].axes[0].lines
    assert list(curve.get_xdata()) == [0.4, 0.8]  # thousands: 8 images a step
    assert list(curve.get_ydata()) == [81.0, 87.0]


def test_similarity(tmp_path, drawn):
    values = np.linspace(0, 1, 6).reshape(3, 2)
    figures.plot_similarity({'scratch': values, 'wsab': values}, tmp_path / 's.png')
    check_png(tmp_path / 's.png')
    assert [text.get_text() for text in drawn[0].axes[0].texts][-1] == '1.00'


def test_layer_weights(tmp_path, drawn):
    curves = {layer: (STEPS, STEPS * layer) for layer in range(8)}
    figures.plot_layer_weights(curves, tmp_path / 'w.png', 'weight')
    check_png(tmp_path / 'w.png')
    assert len(drawn[0].axes[0].lines) == 8
