"""Layer paths inside the keys of a model's parameters.

A *form* is the path of a layer in its backbone with '#' for every number: ``'blocks.#'`` of a
flat model, ``'stages.#.blocks.#'`` of a hierarchical one.
"""

import re
from functools import cache


def match(pattern: str, key: str, form: str) -> str | None:
    """Layer of a key that fits a pattern, None if it does not fit.

    Args:
        pattern (str): A key in which ``{layer}`` stands for the path of a layer, ``*`` for one name
            and ``**`` for any number of names.
        key (str): Of a parameter, such as 'stages.1.blocks.0.norm1.weight'.
        form (str): Pattern of a layer's path.

    Returns:
        str | None: The layer's path ('stages.1.blocks.0'), '' where the pattern has no ``{layer}``.
    """
    found = _compile(pattern, form).fullmatch(key)
    return None if found is None else found.groupdict().get('layer', '')


@cache
def _compile(pattern: str, form: str) -> re.Pattern:
    layer = re.escape(form).replace(r'\#', r'\d+')
    regex = re.escape(pattern).replace(r'\*\*', '.+').replace(r'\*', '[^.]+')
    return re.compile(regex.replace(r'\{layer\}', f'(?P<layer>{layer})'))
