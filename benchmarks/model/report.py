"""The benchmarks of models and blocks as tables."""

from collections.abc import Sequence

from benchmarks.model.benchmark import ROLES, SizeResult
from benchmarks.model.blocks import BlockResult
from benchmarks.model.crossover import crossover, crossover_sentence
from transmamba_mm.tables import megabytes, number, render

PARTS = {'batch': 'Forward', 'step': 'Training step'}


def model_table(results: Sequence[SizeResult]) -> str:
    """Two rows per image size, and where the student overtakes."""
    columns = ['patches', 'model', 'parameters', 'GFLOPs', 'latency\nms', 'images/s', 'peak memory']
    trained = results[0].costs['student'].step is not None
    if trained:
        columns += ['training\nimages/s', 'peak memory']
    rows = []
    for result in results:
        for role in ROLES:
            cost = result.costs[role]
            first = [str(result.size), f'{result.tokens:,}'] if role == 'student' else ['', '']
            row = [
                *first,
                role,
                f'{cost.parameters / 1e6:.2f} M',
                number(cost.flops / 1e9),
                number(cost.latency.min),
                number(1000 / result.per_image(role, 'batch')),
                megabytes(cost.forward_bytes),
            ]
            if trained:
                row.append(number(1000 / result.per_image(role, 'step')))
                row.append(megabytes(cost.step_bytes))
            rows.append(row)
    title = f'Batches of {results[0].batch_size}; latency of a single image'
    attention = ', '.join(sorted({result.costs['teacher'].attention for result in results}))
    return '\n'.join(
        [
            render(title, 'pixels', tuple(columns), rows),
            f"The teacher's attention: {attention}",
            *(
                f'{PARTS[part]}, crossover: {overtaking(results, part)}'
                for part in measured(results)
            ),
        ]
    )


def measured(results: Sequence[SizeResult]) -> list[str]:
    """Timings on batches: forward, and training step on request."""
    return [part for part in PARTS if getattr(results[0].costs['student'], part) is not None]


def crossing(results: Sequence[SizeResult], part: str) -> float | None:
    """Patches from which the student is faster, see :func:`.crossover.crossover`."""
    times = ([result.per_image(role, part) for result in results] for role in ROLES)
    return crossover([result.tokens for result in results], *times)


def overtaking(results: Sequence[SizeResult], part: str) -> str:
    """Describe the crossover."""
    return crossover_sentence([result.tokens for result in results], crossing(results, part))


def block_table(results: Sequence[BlockResult], width: int, batch: int, attention: str) -> str:
    """One row per number of tokens: milliseconds of both blocks, and student over teacher."""
    columns = ('forward\nstudent', 'teacher', 'ratio', 'fwd+bwd\nstudent', 'teacher', 'ratio')
    rows = []
    for result in results:
        row = [f'{result.tokens:,}']
        for part in ('forward', 'both'):
            timings = getattr(result, part)
            row += [number(timings[role].min) for role in ROLES] + [number(result.ratio(part))]
        rows.append(row)
    title = f'One block, width {width}, batches of {batch}, ms'
    return f"{render(title, 'tokens', columns, rows)}\nThe teacher's attention: {attention}"
