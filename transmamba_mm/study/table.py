"""Tables of a study in Markdown: results, comparisons, and data efficiency."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transmamba_mm.study.statistics import (
    Difference,
    Estimate,
    smallest_fraction,
    steps_to_reach,
)
from transmamba_mm.study.study import Study

#: What may be missing to scratch with all data, percent.
MARGIN = 0.3


@dataclass(frozen=True)
class Row:
    """The finished runs of one student by one method: a row of a table.

    Attributes:
        student (str): First part of the config's name.
        method (str): Name of the method.
        trial (str): Its options, where a block compares several.
        lines (dict): Fraction -> seed -> line.
    """

    student: str
    method: str
    trial: str = ''
    lines: dict[float, dict[int, dict]] = field(default_factory=dict)

    def values(self, fraction: float, metric: str, split: str) -> dict[int, float]:
        """A metric by seed; those runs that have it."""
        lines = self.lines.get(fraction, {})
        return {
            seed: line[split][metric]
            for seed, line in lines.items()
            if line[split] and metric in line[split]
        }

    def estimates(self, metric: str, split: str) -> dict[float, Estimate]:
        """A metric's estimate by fraction."""
        found = {f: list(self.values(f, metric, split).values()) for f in self.lines}
        return {fraction: Estimate.of(values) for fraction, values in found.items() if values}


def rows_of(study: Study, block: str) -> list[Row]:
    """The rows of a block, in its order, without those that have no finished run."""
    rows: dict[tuple[str, str, str], Row] = {}
    for line in study.lines(block):
        trial = options_text(line['options']) if study.block(block).trials else ''
        key = (line['config'].partition('_')[0], line['method'], trial)
        row = rows.setdefault(key, Row(*key))
        row.lines.setdefault(line['fraction'], {})[line['seed']] = line
    return list(rows.values())


def options_text(options: Mapping) -> str:
    """Dotted keys by their last parts: ``lr=0.001, max_iters=600``."""
    return ', '.join(f'{key.rpartition(".")[2]}={value}' for key, value in options.items())


def split_of(study: Study, block: str) -> str:
    """The split that evaluates a block: test, or validation where a choice is made."""
    return 'test' if study.block(block).test else 'val'


def accuracy_table(study: Study, block: str) -> str:
    """Students and methods down, fractions across: mean, deviation over seeds, 95 % interval."""
    split = split_of(study, block)

    def cell(row: Row, fraction: float) -> str:
        found = row.estimates(study.metric, split).get(fraction)
        if found is None:
            return ''
        if found.count == 1:
            return f'{found.mean:.2f}'
        return f'{found.mean:.2f} ± {found.spread:.2f} [{found.low:.2f}, {found.high:.2f}]'

    return _table(study, block, cell)


def difference_table(study: Study, block: str) -> str:
    """Each method minus the block's baseline of the same student and fraction, seed by seed.

    Mean of the differences ± two standard errors; bold where it is beyond them.
    """
    split, baseline = split_of(study, block), study.block(block).baseline
    rows = rows_of(study, block)

    def cell(row: Row, fraction: float) -> str:
        others = [r for r in rows if (r.student, r.method) == (row.student, baseline)]
        if not others:
            return ''
        theirs = others[0].values(fraction, study.metric, split)
        found = Difference.of(row.values(fraction, study.metric, split), theirs)
        if found is None:
            return ''
        if math.isinf(found.error):
            return f'{found.mean:+.2f}'
        text = f'{found.mean:+.2f} ± {2 * found.error:.2f}'
        return text if found.verdict == 'open' else f'**{text}**'

    return _table(study, block, cell, leave_out=baseline)


def _table(study: Study, block: str, cell: Callable[[Row, float], str], leave_out: str = '') -> str:
    rows = [row for row in rows_of(study, block) if row.method != leave_out]
    fractions = sorted({f for row in rows for f in row.lines}, reverse=True)
    names = ['student', 'method', *(['options'] if study.block(block).trials else [])]
    lines = [[*names, *(f'{fraction * 100:g} %' for fraction in fractions)]]
    lines.append(['---'] * len(lines[0]))
    for row in rows:
        labels = [row.student, row.method, row.trial][: len(names)]
        lines.append([*labels, *(cell(row, fraction) for fraction in fractions)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def best_trials(study: Study, block: str) -> str:
    """The options that are best on the validation set, by student, method and fraction."""
    best: dict[tuple[str, str, float], tuple[float, str, int]] = {}
    for row in rows_of(study, block):
        for fraction, estimate in row.estimates(study.metric, 'val').items():
            key = (row.student, row.method, fraction)
            mean, trial, count = best.get(key, (-math.inf, '', 0))
            winner = max((mean, trial), (estimate.mean, row.trial))
            best[key] = (*winner, count + 1)
    lines = ['| student | method | data | best trial | validation | trials |', '|---' * 6 + '|']
    for (student, method, fraction), (mean, trial, count) in best.items():
        share = f'{fraction * 100:g} %'
        lines.append(f'| {student} | {method} | {share} | {trial} | {mean:.2f} | {count} |')
    return '\n'.join(lines)


def reference_of(study: Study, block: str, student: str) -> Row | None:
    """Scratch with all data at its best: the row that a block's reference has most of on val."""
    rows = [
        row
        for row in rows_of(study, study.block(block).reference or block)
        if (row.student, row.method) == (student, 'scratch') and 1 in row.lines
    ]
    return max(rows, key=lambda row: row.estimates(study.metric, 'val')[1].mean, default=None)


def smallest_fractions(study: Study, block: str) -> str:
    """With how little data each method reaches scratch with all of it, a list."""
    lines = []
    for row in rows_of(study, block):
        scratch = reference_of(study, block, row.student)
        estimates = row.estimates(study.metric, 'test')
        if scratch is None or row.method == 'scratch' or not estimates:
            continue
        target = scratch.estimates(study.metric, 'test')[1].mean
        found = smallest_fraction(estimates, target, MARGIN)
        verdict = 'with none of the fractions' if found is None else f'from {found * 100:g} %'
        lines.append(
            f'- {row.student}, {row.method}: reaches scratch with 100 % of the data '
            f'({target:.2f}, less {MARGIN}) {verdict}.'
        )
    return '\n'.join(lines)


def cost_table(study: Study, block: str) -> str:
    """Steps, CPU minutes and images until scratch's final validation accuracy, with all data."""
    teachers = teacher_lines(study)
    names = ['student', 'method', 'data', 'steps', 'CPU minutes', "teacher's", 'images to equal']
    lines = [f'| {" | ".join(names)} |', '|---' * len(names) + '|']
    for row in rows_of(study, block):
        scratch = reference_of(study, block, row.student)
        target = scratch and scratch.estimates(study.metric, 'val')[1].mean
        for fraction, found in row.lines.items():
            runs = list(found.values())
            first = runs[0]
            seen = target and images_to_reach(runs, target)
            teacher = teachers.get(first['regime'])
            cells = [
                row.student,
                row.method,
                f'{fraction * 100:g} %',
                f'{first["steps"]}',
                f'{sum(run["cpu_seconds"] for run in runs) / len(runs) / 60:.1f}',
                f'{teacher["cpu_seconds"] / 60:.1f}' if teacher else '',
                f'{seen:,.0f}' if seen else 'never' if target else '',
            ]
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def images_to_reach(lines: Sequence[Mapping], target: float) -> float | None:
    """Images seen until the validation curve, averaged over seeds, reaches ``target``."""
    reached = steps_to_reach(list(zip(*mean_curve(lines), strict=True)), target)
    return None if reached is None else reached * lines[0]['images'] / lines[0]['steps']


def mean_curve(lines: Sequence[Mapping]) -> tuple[list[int], list[float]]:
    """Steps that all validation curves have, and their mean there."""
    curves = [dict(line['val_curve']) for line in lines]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return steps, [sum(curve[step] for curve in curves) / len(curves) for step in steps]


def teacher_lines(study: Study) -> dict[str, dict]:
    """The teacher of each regime in which all students have the same one."""
    return {
        line['regime']: line
        for line in study.all_lines().values()
        if line['method'] is None and not study.regimes[line['regime']].own_data
    }


def teacher_text(study: Study, block: str) -> str:
    """Result of the teacher of a block."""
    regime = study.block(block).regime or next(iter(study.regimes))
    teacher = teacher_lines(study).get(regime)
    if teacher is None:
        return ''
    values = [f'{teacher[s][study.metric]:.2f} ({s})' for s in ('val', 'test') if teacher[s]]
    return f'The teacher of regime {regime} reaches {", ".join(values)}.'
