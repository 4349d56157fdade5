"""Rename the keys of a state dict by a table, both ways."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TypeVar

from transmamba_mm.errors import UserError

Value = TypeVar('Value')
#: Names of tensors in a module.
TENSORS = r'\.(?:weight|bias|running_mean|running_var|num_batches_tracked)'
SHOWN = 8  # keys of an error message


class KeyMap:
    """A table of names, one line for each module or bare parameter.

    Args:
        parts (Mapping[str, str]): From names to names. ``#`` stands for any number; the numbers of
            a key fill the ``#`` of its new name, in order. The tensors of a module keep theirs.
    """

    def __init__(self, parts: Mapping[str, str]) -> None:
        self.parts = dict(parts)

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern, str]]:
        return [
            (re.compile(re.escape(old).replace(r'\#', r'(\d+)') + f'({TENSORS})?'), new)
            for old, new in self.parts.items()
        ]

    def inverse(self) -> 'KeyMap':
        """The way back."""
        return KeyMap({new: old for old, new in self.parts.items()})

    def get(self, key: str) -> str | None:
        """The new name of ``key``, None if the table has no line for it."""
        for pattern, new in self._patterns:
            if found := pattern.fullmatch(key):
                *numbers, tensor = found.groups('')
                for number in numbers:
                    new = new.replace('#', number, 1)
                return new + tensor
        return None

    def rename(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """``state`` with the new names; keys without a line keep theirs."""
        return {self.get(key) or key: value for key, value in state.items()}

    def rename_all(self, state: Mapping[str, Value], kind: str, hint: str = '') -> dict[str, Value]:
        """``state`` with the new names.

        Args:
            state (Mapping): By old names.
            kind (str): What the old names are those of, for the message.
            hint (str): Ends the message.

        Raises:
            UserError: Keys without a line, by name.
        """
        renamed = {key: self.get(key) for key in state}
        if unknown := [key for key, name in renamed.items() if name is None]:
            more = ' ...' if len(unknown) > SHOWN else ''
            raise UserError(
                f'{len(unknown)} keys are not {kind} keys: {", ".join(unknown[:SHOWN])}{more}. Is '
                f'this a checkpoint of that model?{f" ({hint})" if hint else ""}'
            )
        return {str(renamed[key]): value for key, value in state.items()}
