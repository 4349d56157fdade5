"""One table per pair of families; ``rules='vit_to_vim'`` in a config names its file here."""

from importlib import import_module
from pkgutil import iter_modules

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.rules.rule import (
    WHOLE,
    Axis,
    Clone,
    Keep,
    Refuse,
    RuleTable,
    part_of,
)


def load_rules(name: str) -> RuleTable:
    """The ``TABLE`` of the file ``name`` in this folder.

    Raises:
        UserError: No such file; the message lists those there are.
    """
    available = sorted(m.name for m in iter_modules(__path__) if '_to_' in m.name)
    if name not in available:
        raise UserError(f'rules={name!r} is unknown; choose one of {", ".join(available)}.')
    return import_module(f'{__name__}.{name}').TABLE


__all__ = [
    'WHOLE',
    'Axis',
    'Clone',
    'Keep',
    'Refuse',
    'RuleTable',
    'load_rules',
    'part_of',
]
