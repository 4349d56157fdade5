"""What a study found: means, spreads and the sentence that matters."""

import math
from collections.abc import Sequence

import numpy as np

from transmamba_mm.study.data_efficiency import Record


def accuracies(records: Sequence[Record], method: str, fraction: float) -> np.ndarray:
    """Accuracies, percent, one per seed."""
    return np.array([r.accuracy for r in records if (r.method, r.fraction) == (method, fraction)])


def spread(values: np.ndarray) -> float:
    """Standard deviation over seeds (n - 1), 0 for a single seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def fractions_of(records: Sequence[Record]) -> list[float]:
    """Fractions of a study, largest first."""
    return sorted({record.fraction for record in records}, reverse=True)


def methods_of(records: Sequence[Record]) -> list[str]:
    """Methods of a study, in the order in which they were given."""
    return list(dict.fromkeys(record.method for record in records))


def markdown_table(records: Sequence[Record]) -> str:
    """Fractions down, methods across, each cell mean ± standard deviation over the seeds."""
    methods = methods_of(records)
    lines = ['| data | ' + ' | '.join(methods) + ' |', '|---' * (len(methods) + 1) + '|']
    for fraction in fractions_of(records):
        cells = [f'{fraction * 100:g} %']
        for method in methods:
            values = accuracies(records, method, fraction)
            more = f' ± {spread(values):.2f}' if len(values) > 1 else ''
            cells.append(f'{values.mean():.2f}{more}')
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def smallest_equal_fraction(
    records: Sequence[Record],
    method: str = 'wsab',
    reference: str = 'scratch',
    within_spread: bool = True,
) -> float | None:
    """Least data with which ``method`` is still as good as ``reference`` with the most.

    As good means: its mean is at least the reference's mean, less one standard error of the
    difference, ``sqrt(s1^2 / n1 + s2^2 / n2)``, if ``within_spread``. It has to hold at every
    larger fraction of the study too, so that one lucky cell decides nothing.

    Returns:
        float | None: The fraction, None if it does not hold even with all data.
    """
    fractions = fractions_of(records)
    target = accuracies(records, reference, fractions[0])
    smallest = None
    for fraction in fractions:
        values = accuracies(records, method, fraction)
        error = math.hypot(
            spread(values) / math.sqrt(len(values)), spread(target) / math.sqrt(len(target))
        )
        if values.mean() < target.mean() - (error if within_spread else 0.0):
            break
        smallest = fraction
    return smallest


def summary_sentence(
    records: Sequence[Record], method: str = 'wsab', reference: str = 'scratch'
) -> str:
    """The study in two sentences: how little data is enough, with and without the spread."""
    top = fractions_of(records)[0]
    sentences = []
    for within_spread, how in ((True, 'within one standard error'), (False, 'by the plain mean')):
        least = smallest_equal_fraction(records, method, reference, within_spread)
        if least is None:
            verdict = f'{method} does not reach {reference}'
        else:
            verdict = f'{method} with {least * 100:g} % of the data still equals {reference}'
        sentences.append(f'{verdict} with {top * 100:g} % ({how}).')
    return '\n'.join(sentences)
