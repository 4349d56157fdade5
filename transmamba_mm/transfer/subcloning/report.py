"""The source of every parameter of a student."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

#: A table is as wide as its content; this only has to be wide enough that nothing is cut.
MAX_WIDTH = 1000
#: The path of a layer in a key: 'blocks.3.' or 'stages.1.blocks.0.' behind 'backbone.' or others.
LAYER = re.compile(r'^((?:\w+\.)*?)((?:[a-z_]+\.\d+\.)+)')


@dataclass(frozen=True)
class TransferLine:
    """One student parameter.

    Attributes:
        student (str): Its key.
        status (str): 'cloned' (every channel of the teacher's tensor, one to one), 'sliced' (its
            most important channels), 'tiled' (repeated to fill a wider mixer), 'padded' (the
            student is wider and the rest keeps its own initialization), 'resized' (another patch
            size or grid), 'mimic' (set so that the scan's surroundings pass their input on),
            'initialized' or 'skipped'.
        rule (str): What was done, or why nothing was.
        shape (tuple[int, ...]): Of the parameter.
        num_weights (int): Its size.
        num_cloned (int): How many of its weights come from the teacher.
        teacher (str | None): Canonical name of the teacher's tensor.
        slice (str): What was taken of it, and where it went; empty for all of it.
    """

    student: str
    status: str
    rule: str
    shape: tuple[int, ...]
    num_weights: int
    num_cloned: int = 0
    teacher: str | None = None
    slice: str = ''


@dataclass
class TransferReport:
    """The result of subcloning: one line for each parameter of the student, in the model's order.

    Attributes:
        lines (list[TransferLine]): See there.
        residual_channels (dict[str, list[int]]): For each pair of widths 'teacher -> student', the
            teacher channel of each of the student's residual channels; shorter than its width where
            a wider student is padded.
        unused (list[str]): Teacher tensors that no student parameter takes, by canonical names.
        state_rows (dict[str, list[int]]): For each teacher layer whose query and key were cloned,
            the rows of both that the student's C and B have, in their order.
    """

    lines: list[TransferLine] = field(default_factory=list)
    residual_channels: dict[str, list[int]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    state_rows: dict[str, list[int]] = field(default_factory=dict)

    def summary(self) -> str:
        """One sentence: how many parameters and weights start from the teacher."""
        touched = sum(line.num_cloned > 0 for line in self.lines)
        cloned = sum(line.num_cloned for line in self.lines)
        total = sum(line.num_weights for line in self.lines)
        return (
            f'{touched} of {len(self.lines)} parameters start from the teacher: '
            f'{cloned / max(total, 1):.1%} of {total:,} weights.'
        )

    def table(self) -> str:
        """The report as text.

        Parameters that differ in their layer alone share a row, and so do all those that were left
        alone for the same reason; the JSON has a line for each.
        """
        rows: dict[tuple, list[TransferLine]] = {}
        for line in self.lines:
            names = (_any_layer(line.student), _any_layer(line.teacher)) if line.teacher else ()
            rows.setdefault((line.status, line.rule, line.slice, names), []).append(line)
        table = Table(title=self.summary(), title_justify='left', box=None, pad_edge=False)
        for name in ('status', 'student', 'teacher', 'slice', 'rule'):
            table.add_column(name, no_wrap=True)
        for (status, rule, taken, _), lines in rows.items():
            student = _with_layers([line.student for line in lines])
            teacher = _with_layers([line.teacher for line in lines if line.teacher])
            table.add_row(status, student, teacher, taken, rule)
        text = StringIO()
        Console(file=text, width=MAX_WIDTH, markup=False, highlight=False).print(table)
        return '\n'.join(row.rstrip() for row in text.getvalue().splitlines())

    def of_tower(self, name: str) -> 'TransferReport':
        """The report with the name of its tower before what would be the same in another's."""

        def named(key: str | None) -> str | None:
            return key and f'{name}.{key}'

        return TransferReport(
            [replace(line, teacher=named(line.teacher)) for line in self.lines],
            {f'{name} {widths}': taken for widths, taken in self.residual_channels.items()},
            [f'{name}.{key}' for key in self.unused],
            {f'{name}.{layer}': taken for layer, taken in self.state_rows.items()},
        )

    def joined(self, other: 'TransferReport') -> 'TransferReport':
        """The report of two towers."""
        return TransferReport(
            self.lines + other.lines,
            self.residual_channels | other.residual_channels,
            self.unused + other.unused,
            self.state_rows | other.state_rows,
        )

    def save(self, path: str | Path) -> None:
        """Write everything as JSON; folders are made."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({'summary': self.summary(), **asdict(self)}, indent=2) + '\n')


def _any_layer(key: str) -> str:
    """The key with a star for each number of its layer."""
    return LAYER.sub(lambda found: re.sub(r'\d+', '*', found[0]), key)


def _with_layers(keys: list[str]) -> str:
    """One name for keys that differ in their layer, 'blocks.0..7.norm.weight'; others counted."""
    if not keys:
        return ''
    patterns = list(dict.fromkeys(map(_any_layer, keys)))
    found = (LAYER.match(key) for key in keys if _any_layer(key) == patterns[0])
    layers = [re.findall(r'\d+', match[2]) for match in found if match]
    name = patterns[0]
    for numbers in zip(*layers, strict=True):
        name = name.replace('*', _span(sorted(set(map(int, numbers)))), 1)
    others = f' and {len(patterns) - 1} more' if len(patterns) > 1 else ''
    return name + others


def _span(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f'{numbers[0]}..{numbers[-1]}'
    return ','.join(map(str, numbers))
