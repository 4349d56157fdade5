"""What a transfer on one's own images came to: one page, and pictures."""

import html
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from mmengine.config import Config

from transmamba_mm.apis.layer_similarity import compare_layers
from transmamba_mm.own_data.disagreements import find_disagreements, plot_disagreements
from transmamba_mm.own_data.plan import TransferPlan
from transmamba_mm.plots import STYLE, save_figure
from transmamba_mm.study.figures import plot_similarity
from transmamba_mm.study.scalars import read_scalars

METRIC = 'accuracy/top1'
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}
img{{max-width:100%}}td,th{{padding:.2em 1em .2em 0;text-align:left}}</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_report(plan: TransferPlan, out: Path, results: Mapping[str, Mapping]) -> list[str]:
    """Write ``report.html`` and its pictures; return the lines to print.

    Args:
        plan (TransferPlan): The transfer.
        out (Path): Its folder, with the work_dirs ``student`` and perhaps ``teacher``.
        results (Mapping[str, Mapping]): Of the trainings, by name.
    """
    kind = 'test' if plan.images.has_test else 'validation'
    accuracy = {name: result['test'][METRIC] for name, result in results.items()}
    rows = [(f'{name}, {kind} accuracy', f'{value:.2f} %') for name, value in accuracy.items()]
    rows += [
        ('images to train on', str(len(plan.images.of_split('train')))),
        ('classes', str(len(plan.images.classes))),
        ('steps', str(plan.steps)),
        ('minutes', f'{sum(result["seconds"] for result in results.values()) / 60:.1f}'),
    ]
    _plot_curves(out / 'student', out / 'curves.png', results['student']['val_curve'])
    cfg = Config.fromfile(out / 'student.py')
    similarity = compare_layers(cfg, {plan.student: str(out / 'student')}, max_images=64)
    plot_similarity(similarity, out / 'similarity.png')
    title = f'{plan.teacher.source} as {plan.student}, on {plan.images.source}'
    parts = [
        _table(rows),
        '<h2>Training</h2><img src="curves.png" alt="loss and accuracy against steps">',
        '<h2>Layers</h2><img src="similarity.png" alt="similarity of student and teacher layers">',
    ]
    reports = sorted((out / 'student').glob('*/transfer_report.json'))
    if reports:
        parts.append(f'<h2>Start of the weights</h2>{_origins(reports[0])}')
    found, count, total = find_disagreements(cfg, out / 'student')
    if found:
        plot_disagreements(found, plan.images.classes, out / 'disagreements.png')
        parts.append(
            f'<h2>Teacher and student disagree</h2><p>On {count} of {total} images; the first:</p>'
            '<img src="disagreements.png" alt="images with label, teacher, student">'
        )
    settings = ''.join(f'<li>{html.escape(line.strip())}' for line in plan.lines())
    parts.append(f'<h2>Settings</h2><ul>{settings}</ul>')
    page = PAGE.format(title=html.escape(title), body='\n'.join(parts))
    (out / 'report.html').write_text(page, encoding='utf-8')
    lines = [f'{name}: {kind} accuracy {value:.2f} %' for name, value in accuracy.items()]
    return [*lines, f'Report: {out / "report.html"}']


def _plot_curves(work_dir: Path, path: Path, validations: list) -> None:
    scalars = read_scalars(work_dir)
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
        left.plot(*scalars['loss'])
        left.set_xlabel('step')
        left.set_ylabel('loss')
        right.plot([step for step, _ in validations], [value for _, value in validations], 'o-')
        right.set_xlabel('step')
        right.set_ylabel('validation accuracy, %')
        save_figure(figure, path)


def _origins(report: Path) -> str:
    lines = json.loads(report.read_text())['lines']
    cloned = sum(line['num_cloned'] for line in lines)
    total = sum(line['num_weights'] for line in lines)
    counts: dict[str, int] = {}
    for line in lines:
        counts[line['status']] = counts.get(line['status'], 0) + 1
    rows = [(status, str(number)) for status, number in sorted(counts.items())]
    return f'<p>{cloned / total:.1%} of {total:,} weights are from the teacher.</p>{_table(rows)}'


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (f'<tr><td>{html.escape(a)}<td>{html.escape(b)}' for a, b in rows)
    return f'<table>{"".join(cells)}</table>'
