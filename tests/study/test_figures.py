"""Every figure ends as a PNG that shows what it was given."""

import numpy as np
import pytest
from matplotlib import image
from matplotlib import pyplot as plt

from transmamba_mm.study import figures
from transmamba_mm.study.data_efficiency import Record

STEPS = np.arange(1, 6)


def records(seeds):
    return [
        Record(method, fraction, seed, 90 + 5 * fraction + seed, 10, 1.0, '')
        for method in ('scratch', 'wsab')
        for fraction in (1.0, 0.25, 0.1)
        for seed in seeds
    ]


@pytest.fixture
def drawn(monkeypatch):
    """Figures are kept open, to be looked at."""
    kept = []
    monkeypatch.setattr(plt, 'close', kept.append)
    yield kept
    monkeypatch.undo()
    plt.close('all')


def check_png(path):
    pixels = image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 0.02  # not blank


@pytest.mark.parametrize('seeds', [[0], [0, 1, 2]])
def test_accuracy(tmp_path, drawn, seeds):
    figures.plot_accuracy(records(seeds), tmp_path / 'sub' / 'a.png')
    check_png(tmp_path / 'sub' / 'a.png')
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['scratch', 'wsab']
    assert sorted(label.get_text() for label in axes.get_xticklabels()) == ['10 %', '100 %', '25 %']
    bars = [line for container in axes.containers for line in container.lines[2]]
    assert len(bars) == (2 if len(seeds) > 1 else 0)


def test_training(tmp_path, drawn):
    curves = {f: {'scratch': (STEPS, STEPS * f), 'wsab': (STEPS, STEPS)} for f in (1.0, 0.1)}
    figures.plot_training(curves, tmp_path / 'c.png')
    check_png(tmp_path / 'c.png')
    assert [axes.get_title() for axes in drawn[0].axes] == ['100 % of the data', '10 % of the data']
    assert len(drawn[0].axes[0].lines) == 2


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
