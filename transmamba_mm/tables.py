"""Formatting of the benchmarks' tables."""

from io import StringIO

from rich.console import Console
from rich.table import Table

#: A table is as wide as its content, also where there is no terminal.
MAX_WIDTH = 1000


def number(value: float | None) -> str:
    """Three significant digits, or a dash."""
    if value is None:
        return '-'
    return f'{value:,.0f}' if value >= 100 else f'{value:#.3g}'


def pair(first: float | None, second: float | None) -> str:
    """Two numbers, or a single dash where both are missing."""
    return '-' if first is None and second is None else f'{number(first)} / {number(second)}'


def megabytes(count: int | None) -> str:
    """Bytes as megabytes."""
    return '-' if count is None else f'{count / 1e6:,.1f} MB'


def render(title: str, first: str, headings: tuple[str, ...], rows: list[list[str]]) -> str:
    """Draw a table as text: the first column to the left, the others to the right."""
    table = Table(title=title, title_justify='left')
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify='right')
    for row in rows:
        table.add_row(*row)
    buffer = StringIO()
    Console(file=buffer, width=MAX_WIDTH).print(table)
    return buffer.getvalue().rstrip('\n')
