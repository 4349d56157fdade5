"""How layers are called inside the keys of a model's parameters.

A *form* is the path of a layer below its backbone with '#' for every number: ``'blocks.#'`` of a
flat model, ``'stages.#.blocks.#'`` of a hierarchical one.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby


def match(pattern: str, key: str, form: str) -> str | None:
    """Layer of a key that fits a pattern, None if it does not fit.

    Args:
        pattern (str): A key in which ``{layer}`` stands for the path of a layer, ``*`` for one name
            and ``**`` for any number of names.
        key (str): Of a parameter, such as 'backbone.stages.1.blocks.0.norm1.weight'.
        form (str): What the path of a layer looks like.

    Returns:
        str | None: The layer's path ('stages.1.blocks.0'), '' where the pattern has no ``{layer}``.
    """
    found = _compile(pattern, form).fullmatch(key)
    return None if found is None else found.groupdict().get('layer', '')


def find_layers(form: str, keys: Iterable[str]) -> list[str]:
    """Paths of the layers that own some of the keys of a state dict, in depth order.

    The flat index of a layer, in which a layer map counts, is its place in this list.
    """
    pattern = _compile('backbone.{layer}.**', form)
    layers = {found['layer'] for key in keys if (found := pattern.fullmatch(key))}
    return sorted(layers, key=_numbers)


def count_stages(layers: Sequence[str]) -> list[int]:
    """Layers in each stage, for paths in depth order; a flat model is one stage."""
    return [len(list(stage)) for _, stage in groupby(layers, lambda path: _numbers(path)[:-1])]


@cache
def _compile(pattern: str, form: str) -> re.Pattern:
    layer = re.escape(form).replace(r'\#', r'\d+')
    regex = re.escape(pattern).replace(r'\*\*', '.+').replace(r'\*', '[^.]+')
    return re.compile(regex.replace(r'\{layer\}', f'(?P<layer>{layer})'))


def _numbers(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in path.split('.') if part.isdecimal())
