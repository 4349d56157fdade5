"""The exception for errors a user can fix, and a hint for its message."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a config, a path, a checkpoint or the data; the message names cause and fix.

    The tools print it as one line and exit with code 1; it never needs a traceback.
    """


def nearest(word: str, choices: Iterable[str]) -> str:
    """The three of ``choices`` most like ``word``, however little."""
    return ', '.join(map(repr, difflib.get_close_matches(word, list(choices), n=3, cutoff=0.0)))


def did_you_mean(word: str, choices: list[str], cutoff: float = 0.6) -> str:
    """Return ``' Did you mean ...?'`` for a near miss, else an empty string."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=cutoff)
    return f' Did you mean {close[0]!r}?' if close else ''
