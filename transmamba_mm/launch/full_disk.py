"""End a run on a full disk with one message that names the file."""

import io
import logging
import os
import sys
import traceback

from transmamba_mm.atomic_file import NO_ROOM, describe_no_room

_print_error = logging.Handler.handleError


def stop_on_full_disk() -> None:
    """Let a log that has no room end the process, as any other file does.

    ``logging`` would print a traceback for every line of the log from then on, and continue.
    """
    logging.Handler.handleError = _raise_or_print


def _raise_or_print(handler: logging.Handler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise error
    _print_error(handler, record)


def explain_full_disk(error: OSError) -> str | None:
    """Name the file that has no room, and what to do; None for another error."""
    if error.errno not in NO_ROOM:
        return None
    return describe_no_room(error.filename or _open_file(error) or '<stdout>', error)


def _open_file(error: OSError) -> str | None:
    """The name of the file that was being written where an error comes from."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            name = getattr(value, 'name', None) if isinstance(value, io.IOBase) else None
            if isinstance(name, (str, os.PathLike)):
                return str(name)
    return None  # print() has none


def drop_output() -> None:
    """Give up output without room, or without a reader: Python would fail once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
