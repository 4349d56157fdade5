"""Find where an error was raised."""

import traceback
from types import FrameType


def raised_in(error: Exception) -> str:
    """Name the module that raised ``error``."""
    return last_frame(error).f_globals.get('__name__', '')


def last_frame(error: Exception) -> FrameType:
    """Return the frame that raised ``error``."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame
