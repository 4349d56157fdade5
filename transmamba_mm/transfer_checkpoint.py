"""The checkpoint of a transfer, loaded into a model that is its student alone."""

from collections.abc import MutableMapping
from typing import Any

#: Where the checkpoint of a transfer holds the student, and what only its training needs.
STUDENT, DISTILLER = 'student.', 'distiller.'


def take_student(state_dict: MutableMapping[str, Any], prefix: str = '', *_: Any) -> None:
    """Give a transfer's weights, in place, the names they have in the student alone.

    A hook before ``load_state_dict``: mmengine and mmpretrain load what has the right names, log
    what is missing, and predict from random weights. Any other state dict stays as it is.

    Args:
        state_dict: Of the model, or of one around it.
        prefix: Path of the model in it, with a dot at its end.
    """
    of_student = prefix + STUDENT
    if not any(key.startswith(of_student) for key in state_dict):
        return
    for key in list(state_dict):
        if key.startswith(of_student):
            state_dict[prefix + key.removeprefix(of_student)] = state_dict.pop(key)
        elif key.startswith(prefix + DISTILLER):
            del state_dict[key]
