"""Ranges and choices of arguments: declared once, checked where they arrive."""

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from transmamba_mm.errors import UserError, did_you_mean

Function = TypeVar('Function', bound=Callable)


@dataclass(frozen=True)
class Number:
    """A finite number in a range.

    Attributes:
        low, high (float): The range, both ends included.
        whole (bool): An integer.
        open (bool): The lower end is not included.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open: bool = False

    def fault(self, value: Any) -> str | None:
        """What a value has to be, if it is not."""
        kind = int if self.whole else (int, float)
        fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
        if fits and self.low <= value <= self.high and not (self.open and value == self.low):
            return None
        text = f'has to be a {"whole" if self.whole else "finite"} number'
        if math.isinf(self.low) and math.isinf(self.high):
            return text
        left, right = '(' if self.open else '[', ')' if math.isinf(self.high) else ']'
        return f'{text} in {left}{self.low:g}, {self.high:g}{right}'


@dataclass(frozen=True)
class OneOf:
    """One of several words."""

    choices: Sequence[Any]

    def fault(self, value: Any) -> str | None:
        """What a value has to be, if it is not."""
        if any(value == choice and type(value) is type(choice) for choice in self.choices):
            return None
        words = [choice for choice in self.choices if isinstance(choice, str)]
        hint = did_you_mean(value, words) if isinstance(value, str) else ''
        return f'is unknown; choose one of {", ".join(map(str, self.choices))}.{hint}'.rstrip('.')


@dataclass(frozen=True)
class Text:
    """A text that is not empty, or (``many``) a list of them."""

    many: bool = False

    def fault(self, value: Any) -> str | None:
        """What a value has to be, if it is not."""
        texts = value if self.many and isinstance(value, (list, tuple)) else [value]
        if all(isinstance(text, str) and text for text in texts):
            return None
        return 'has to be a text, or a list of them' if self.many else 'has to be a text'


@dataclass(frozen=True)
class Template:
    """A text of a given form.

    Attributes:
        pattern (str): What all of it has to match.
        example (str): One that does.
    """

    pattern: str
    example: str

    def fault(self, value: Any) -> str | None:
        """What a value has to be, if it is not."""
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return None
        return f'has to be of the form {self.example}'


@dataclass(frozen=True)
class Each:
    """A number (if ``alone``), or a list of numbers: ``length`` of them, or any but none."""

    item: Number
    length: int | None = None
    alone: bool = True
    may_be_empty: bool = False

    def fault(self, value: Any) -> str | None:
        """What a value has to be, if it is not."""
        if self.alone and not isinstance(value, (list, tuple)):
            return self.item.fault(value)
        right = isinstance(value, (list, tuple)) and (len(value) > 0 or self.may_be_empty)
        right = right and self.length in (None, len(value))
        if right and not any(map(self.item.fault, value)):
            return None
        item = str(self.item.fault(None)).removeprefix('has to be ')
        listed = 'a list' if self.length is None else f'a list of {self.length}'
        return f'has to be {f"{item}, or " if self.alone else ""}{listed}, each {item}'


Rule = Number | OneOf | Text | Template | Each

#: Widths, channels, steps: from 1 to a size that no machine has.
COUNT = Number(1, 10**8, whole=True)
#: Layers, which each take time to build.
DEPTH = Number(1, 1000, whole=True)
INDEX = Number(0, 2**63 - 1, whole=True)
INTEGER = Number(whole=True)
SEED = Number(0, 2**32 - 1, whole=True)
POSITIVE = Number(0, open=True)
NOT_NEGATIVE = Number(0)
#: A probability, or a weight and the rest.
FRACTION = Number(0, 1)
#: A part of something, not nothing.
SHARE = Number(0, 1, open=True)
FINITE = Number()
FLAG = OneOf((True, False))
#: What mmengine asks a model for.
MODE = OneOf(('loss', 'predict', 'tensor'))
#: A side in pixels, or (height, width).
SIDES = Each(Number(1, 2**16, whole=True), 2)


def one_of(*choices: Any) -> OneOf:
    """A rule: one of ``choices``."""
    return OneOf(choices)


def check(owner: str, name: str, value: Any, rule: Rule) -> None:
    """UserError unless ``value`` of the argument ``name`` of ``owner`` keeps to ``rule``."""
    if fault := rule.fault(value):
        raise UserError(f'{name}={value!r} of {owner} {fault}.')


def check_keys(owner: str, given: Iterable[str], known: Iterable[str], hint: str = '') -> None:
    """UserError with the keys that ``owner`` does not read, and those that it does."""
    known = sorted(known)
    if unknown := sorted(map(str, set(given) - set(known))):
        raise UserError(
            f'{owner} has no {", ".join(unknown)}; it has {", ".join(known) or "no keys"}.'
            f'{did_you_mean(unknown[0], known)}{hint}'
        )


def check_one_given(owner: str, **arguments: Any) -> None:
    """UserError unless exactly one of ``arguments`` of ``owner`` is given (not None)."""
    given = [name for name, value in arguments.items() if value is not None]
    if len(given) != 1:
        which = ' and '.join(given) if given else 'none'
        raise UserError(f'{owner} needs {" or ".join(arguments)}, one of them, but has {which}.')


def checked(**rules: Rule) -> Callable[[Function], Function]:
    """Check arguments before a constructor or function runs.

    Args:
        **rules: A rule for each argument to check. One that may be None, by its default or its
            annotation, is not checked when it is.

    Raises:
        UserError: From what is decorated: an argument that breaks its rule.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        absent = [name for name in rules if name not in signature.parameters]
        assert not absent, f'{function.__qualname__} has no {absent}'

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                given = signature.bind_partial(*args, **kwargs).arguments
            except TypeError:  # Python's own message names the function
                return function(*args, **kwargs)
            named = type(args[0]) if function.__name__ == '__init__' else function
            for name, rule in rules.items():
                if name not in given:
                    continue
                if given[name] is None and _may_be_none(signature.parameters[name]):
                    continue
                check(named.__name__, name, given[name], rule)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def _may_be_none(parameter: inspect.Parameter) -> bool:
    return parameter.default is None or 'None' in str(parameter.annotation)
