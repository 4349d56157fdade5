"""Generate parts of Markdown files from the results of studies.

Such a part stands between two comments. The first names a study, what to write, a block and, if it
is another than the study's, a metric::

    <!-- study configs/studies/fashionmnist.py table headline -->
    <!-- /study -->
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transmamba_mm.checks import check, one_of
from transmamba_mm.study import figures
from transmamba_mm.study.study import Study
from transmamba_mm.study.table import (
    accuracy_table,
    best_trials,
    cost_table,
    difference_table,
    smallest_fractions,
    teacher_text,
)

PARTS: dict[str, Callable[[Study, str], str]] = {
    'table': accuracy_table,
    'differences': difference_table,
    'smallest': smallest_fractions,
    'trials': best_trials,
    'cost': cost_table,
    'teacher': teacher_text,
}
FIGURES: dict[str, Callable[[Study, str, Path], None]] = {
    'accuracy': figures.plot_accuracy,
    'curves': figures.plot_curves,
}
PART = re.compile(
    r'(<!-- study (?P<study>\S+) (?P<part>\S+) (?P<block>\S+)(?: (?P<metric>\S+))? -->\n)'
    r'.*?(<!-- /study -->)',
    re.DOTALL,
)


def fill(text: str) -> str:
    """Rewrite every such part of a text.

    Args:
        text (str): Of a Markdown file; its paths begin at the working directory.

    Raises:
        UserError: An unknown study, part or block.
    """

    def part(found: re.Match) -> str:
        study = Study.from_file(found['study'])
        if found['metric']:
            study = replace(study, metric=found['metric'])
        check(found['study'], 'part', found['part'], one_of(*PARTS))
        written = PARTS[found['part']](study, found['block']) if study.lines(found['block']) else ''
        return f'{found[1]}{written or "Not run yet."}\n{found[6]}'

    return PART.sub(part, text)


def draw_figures(study: Study) -> None:
    """Draw the figures that a study names."""
    for path, shown in study.figures.items():
        kind, _, block = shown.partition(' ')
        check('the study', 'figure', kind, one_of(*FIGURES))
        FIGURES[kind](study, block, Path(path))
