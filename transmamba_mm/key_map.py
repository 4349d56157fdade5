"""Rename the keys of a state dict by a table, both ways."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError

#: Names of tensors in a module.
TENSORS = r'\.(?:weight|bias|running_mean|running_var|num_batches_tracked)'
#: A number in a name: ``#`` is any n, ``3#+1`` any 3 n + 1.
NUMBER = re.compile(r'(\d*)#(?:\+(\d+))?')
SHOWN = 8  # keys of an error message
BACKBONE = 'backbone.'  # where a classifier holds it


@dataclass(frozen=True)
class Stack:
    """Several names, whose tensors are one tensor on the other side: concatenated along ``dim``."""

    names: tuple[str, ...]
    dim: int = 0


@dataclass(frozen=True)
class Reshaped:
    """A name whose tensor has another shape on the other side.

    Attributes:
        name (str): The name.
        to (Callable): Makes its tensor from the other side's.
        back (Callable): The way back.
    """

    name: str
    to: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Match:
    """A key that matches a name: its line of the table, its numbers, its tensor in the module."""

    line: '_Line'
    numbers: list[int]
    tensor: str

    def write(self, name: str) -> str:
        """The key of another name."""
        numbers = iter(self.numbers)

        def fill(found: re.Match) -> str:
            return str(int(found[1] or 1) * next(numbers) + int(found[2] or 0))

        return NUMBER.sub(fill, name) + self.tensor


@dataclass(frozen=True)
class _Line:
    """One old name and its new one; ``part`` is its place in the :class:`Stack`."""

    name: str
    old: str | Stack
    new: str | Stack | Reshaped
    part: int = 0

    @cached_property
    def pattern(self) -> re.Pattern:
        texts = NUMBER.split(self.name)[::3]
        return re.compile('(0|[1-9][0-9]*)'.join(map(re.escape, texts)) + f'({TENSORS})?')

    @cached_property
    def strides(self) -> list[tuple[int, int]]:
        return [(int(n or 1), int(start or 0)) for n, start in NUMBER.findall(self.name)]

    def match(self, key: str) -> _Match | None:
        """The match of a key that has this name."""
        found = self.pattern.fullmatch(key)
        if found is None:
            return None
        *texts, tensor = found.groups('')
        pairs = [
            divmod(int(text) - start, stride)
            for text, (stride, start) in zip(texts, self.strides, strict=True)
        ]
        if any(n < 0 or rest for n, rest in pairs):
            return None
        return _Match(self, [n for n, _ in pairs], tensor)


class KeyMap:
    """A table of names, one line for each module or bare parameter.

    Args:
        parts (Mapping[str | Stack, str | Stack | Reshaped]): From names to names. ``#`` stands for
            any number; the numbers of a key fill the ``#`` of its new name, in order (``3#+1`` is
            three times that number plus one). The tensors of a module keep their names. A
            :class:`Stack` on either side joins or splits tensors, a :class:`Reshaped` on the right
            changes their shapes.
    """

    def __init__(self, parts: Mapping[Any, str | Stack | Reshaped]) -> None:
        self.parts = dict(parts)

    @cached_property
    def _lines(self) -> list[_Line]:
        return [
            _Line(name, old, new, i)
            for old, new in self.parts.items()
            for i, name in enumerate(old.names if isinstance(old, Stack) else (old,))
        ]

    def inverse(self) -> 'KeyMap':
        """The way back."""
        parts: dict[Any, Any] = {}
        for old, new in self.parts.items():
            if isinstance(new, Reshaped):
                parts[new.name] = Reshaped(old, new.back, new.to)
            else:
                parts[new] = old
        return KeyMap(parts)

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``state`` with the new names; keys without a line keep theirs.

        Raises:
            UserError: A stack with a missing part.
        """
        renamed: dict[str, Tensor] = {}
        stacks: dict[str, tuple[Stack, dict[int, Tensor]]] = {}
        for key, value in state.items():
            match = self._match(key)
            if match is None:
                renamed[key] = value
                continue
            old, new = match.line.old, match.line.new
            if isinstance(new, Stack):
                pieces = value.chunk(len(new.names), new.dim)
                renamed.update(zip(map(match.write, new.names), pieces, strict=True))
            elif isinstance(new, Reshaped):
                renamed[match.write(new.name)] = new.to(value)
            else:
                name = match.write(new)
                renamed[name] = value
                if isinstance(old, Stack):
                    stacks.setdefault(name, (old, {}))[1][match.line.part] = value
        for name, (stack, parts) in stacks.items():
            if len(parts) < len(stack.names):
                raise UserError(
                    f'{" and ".join(stack.names)} belong together, but the checkpoint has only '
                    f'{" and ".join(stack.names[i] for i in sorted(parts))}.'
                )
            renamed[name] = torch.cat([parts[i] for i in sorted(parts)], stack.dim)
        return renamed

    def rename_all(self, state: Mapping[str, Tensor], kind: str, hint: str) -> dict[str, Tensor]:
        """``state`` with the new names.

        Args:
            state (Mapping): By old names.
            kind (str): What the old names are those of, for the message.
            hint (str): Ends the message.

        Raises:
            UserError: Keys without a line, by name; a stack with a missing part.
        """
        if unknown := [key for key in state if self._match(key) is None]:
            more = ' ...' if len(unknown) > SHOWN else ''
            raise UserError(
                f'{len(unknown)} keys are not {kind} keys: {", ".join(unknown[:SHOWN])}{more}. Is '
                f'this a checkpoint of that model?{self._prefix(unknown)} ({hint})'
            )
        return self.rename(state)

    def _prefix(self, unknown: Sequence[str]) -> str:
        """Advice for keys that mostly match once a prefix is added or removed."""
        first = unknown[0].partition('.')[0] + '.'
        inner = [key.removeprefix(first) for key in unknown if key.startswith(first)]
        if self._knows_most([BACKBONE + key for key in unknown]):
            return f' These are of a backbone alone: put {BACKBONE!r} before each key.'
        return f' Remove {first!r} from the keys.' if self._knows_most(inner) else ''

    def _knows_most(self, keys: Sequence[str]) -> bool:
        return 2 * sum(self._match(key) is not None for key in keys) > len(keys)

    def _match(self, key: str) -> _Match | None:
        matches = (line.match(key) for line in self._lines)
        return next((match for match in matches if match), None)
