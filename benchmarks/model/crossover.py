"""From how many tokens on one model is faster than the other."""

import math
from collections.abc import Sequence


def crossover(
    tokens: Sequence[float], student: Sequence[float], teacher: Sequence[float]
) -> float | None:
    """Return the tokens from which the student stays at least as fast as the teacher.

    Between two sizes the logarithm of their ratio is taken as linear in the logarithm of the
    tokens. The first size is returned if the student is never slower, None if it is at the last.

    Args:
        tokens: Ascending.
        student, teacher: Times at those.
    """
    gaps = [math.log(s / t) for s, t in zip(student, teacher, strict=True)]
    slower = [i for i, gap in enumerate(gaps) if gap > 0]
    if not slower:
        return tokens[0]
    last = slower[-1]
    if last == len(gaps) - 1:
        return None
    share = gaps[last] / (gaps[last] - gaps[last + 1])
    return tokens[last] * (tokens[last + 1] / tokens[last]) ** share


def crossover_sentence(tokens: Sequence[float], crossing: float | None) -> str:
    """Describe the result of :func:`crossover`."""
    if crossing is None:
        return f'none up to {tokens[-1]:,.0f} patches'
    if crossing <= tokens[0]:
        return f'at {tokens[0]:,.0f} patches or fewer'
    return f'at {crossing:,.0f} patches'
