"""Check that every part of a config has a known type, and keys and values that it accepts."""

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from transmamba_mm.checks import Rule
from transmamba_mm.errors import did_you_mean
from transmamba_mm.launch.part_arguments import fits, parameters_of, spell
from transmamba_mm.launch.part_types import (
    BUILDERS,
    DICTS,
    LISTS,
    NEEDED,
    PLAIN,
    REGISTRIES,
    UNTYPED,
    default_type,
    find_type,
    registry_of,
)
from transmamba_mm.launch.preflight_values import NEVER_NONE, RANGES
from transmamba_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

#: Hooks that every Runner has; another name is a hook of ones own.
HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
#: Places whose parts preflight checks itself.
SEEN = ('default_hooks.', 'custom_hooks.')
DEFAULT = 'DefaultOptimWrapperConstructor'
#: Keys of ``paramwise_cfg`` that one constructor of optimizers reads and the default one does not.
READ_BY = {
    'layer_decay_rate': 'LearningRateDecayOptimWrapperConstructor',
    **dict.fromkeys(
        ('position_lr_mult', 'token_lr_mult', 'lr_mults'), 'SelectiveDecayOptimWrapperConstructor'
    ),
}
#: Keys that every part may have.
ANYWHERE = ('type', '_scope_', '_delete_')


def wrong_parts(cfg: Config) -> Iterator[str]:
    """Report keys that nothing reads and values that nothing accepts, by their path."""
    for key, value in cfg.items():
        yield from _look(key, value, None)
    for key in DICTS:
        value = cfg.get(key, {})
        if not isinstance(value, Mapping) and (value is not None or key in NEEDED):
            yield f'{key}={value!r} has to be a dict.'
    randomness = cfg.get('randomness')
    if isinstance(randomness, Mapping) and 'seed' not in randomness:
        yield 'randomness has no seed: set one, or seed=None for a different one per run.'
    yield from _wrong_constructor(cfg.get('optim_wrapper'))
    hooks = cfg.get('default_hooks')
    for name in hooks if isinstance(hooks, Mapping) else ():
        if name not in HOOKS and (hint := did_you_mean(name, list(HOOKS), cutoff=0.75)):
            yield f'default_hooks.{name} is not one of the hooks of a Runner.{hint}'


def _wrong_constructor(wrapper: Any) -> Iterator[str]:
    """Report an unknown optimizer constructor, or one that does not read every factor."""
    if not isinstance(wrapper, Mapping):
        return
    name = wrapper.get('constructor', DEFAULT)
    if find_type(name, OPTIM_WRAPPER_CONSTRUCTORS) is None:
        yield (
            f'optim_wrapper.constructor={name!r} is not a known constructor of optimizers.'
            f'{_hint(name, OPTIM_WRAPPER_CONSTRUCTORS)} Leave it out for the {DEFAULT}.'
        )
        return
    constructor = str(name).rpartition('.')[2]
    factors = wrapper.get('paramwise_cfg')
    for key in factors if isinstance(factors, Mapping) else ():
        if (
            constructor in (DEFAULT, *READ_BY.values())
            and READ_BY.get(key, constructor) != constructor
        ):
            yield (
                f'optim_wrapper.paramwise_cfg.{key} is not read by the {constructor}: set '
                f"optim_wrapper.constructor='{READ_BY[key]}', too."
            )


def _look(path: str, node: Any, inherited: Registry | None) -> Iterator[str]:
    registry = registry_of(path, inherited)
    rule = _rule(path)
    if node is None and any(fnmatchcase(path, pattern) for pattern in NEVER_NONE):
        yield f'{path}=None {rule.fault(None) if rule else "is nothing: write one"}.'
    elif fault := _out_of_range(path, node):
        yield f'{path}={node!r} {fault}.'
    elif rule is None and _is_no_part(path, node):
        yield f'{path}={node!r} is not a part of a config: write dict(type=...), or remove it.'
    elif rule is None and not isinstance(node, Mapping) and _plain_keys(path) and node is not None:
        yield f'{path}={node!r} has to be a dict of {", ".join(_plain_keys(path) or ())}.'
    elif isinstance(node, Mapping):
        yield from _look_inside(path, node, registry)
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _look(f'{path}.{i}', value, registry)


def _look_inside(path: str, node: Mapping[str, Any], registry: Registry | None) -> Iterator[str]:
    kind = node['type'] if 'type' in node else default_type(path, node)
    known = _plain_keys(path)
    refused: set[str] = set()
    if known is not None:
        for key in [key for key in node if key not in (*known, *ANYWHERE)]:
            refused.add(key)
            yield f'{path}.{key} is not read by anything.{did_you_mean(key, list(known))}'
    elif kind is not None and registry is not None:
        if (built := find_type(kind, registry)) is None:
            yield f'{path}: type={kind!r} is not a known {registry.name}.{_hint(kind, registry)}'
            return
        for key, text in _wrong_arguments(path, node, built, registry):
            refused.add(key)
            yield text
    for key, value in node.items():
        if key not in refused:
            yield from _look(f'{path}.{key}', value, registry)


def _wrong_arguments(
    path: str, node: Mapping[str, Any], built: Any, registry: Registry
) -> Iterator[tuple[str, str]]:
    """Keys that a type does not take, and values of a kind that it does not take."""
    taken, is_open = parameters_of(built)
    name = built.__name__
    extra = (*ANYWHERE, *BUILDERS.get(registry, ()))
    for key, value in node.items():
        if key in extra:
            continue
        if key not in taken:
            if not is_open:
                yield key, f'{path}: {name} takes no {key!r}.{did_you_mean(str(key), list(taken))}'
        elif _rule(f'{path}.{key}') is None and not fits(value, taken[key]):
            kind = spell(taken[key].annotation)
            yield key, f'{path}.{key}={value!r}: {name} takes {kind} there.'
    zoo, arch = getattr(built, 'arch_zoo', None), node.get('arch')
    if isinstance(zoo, Mapping) and isinstance(arch, Mapping):
        keys = {key for one in zoo.values() if isinstance(one, Mapping) for key in one}
        for key in set(arch) - keys if keys else ():
            yield (
                'arch',
                f'{path}.arch: {name} reads no {key!r} of it.{did_you_mean(key, list(keys))}',
            )


def _hint(kind: Any, registry: Registry) -> str:
    known: list[str] = []
    above: Registry | None = registry
    while above is not None:
        known += above.module_dict
        above = above.parent
    return did_you_mean(str(kind).rpartition('.')[2], known)


def _plain_keys(path: str) -> tuple[str, ...] | None:
    """Keys of a dict without a type at this place."""
    return next((keys for pattern, keys in PLAIN.items() if fnmatchcase(path, pattern)), None)


def _is_no_part(path: str, node: Any) -> bool:
    """Whether a value is at a path for parts, or lists of them."""
    *above, key = path.split('.')
    place = above[-1] if key.isdigit() and above else key
    if REGISTRIES.get(place) is None or path.startswith(SEEN) or path in DICTS:
        return False
    if node is None:  # removes a part; in a list it is an invalid entry
        return key.isdigit()
    if isinstance(node, Mapping):
        return 'type' not in node and place not in UNTYPED
    if isinstance(node, (list, tuple)):
        return key.isdigit() or place not in LISTS
    return isinstance(node, (str, int, float))


def _rule(path: str) -> Rule | None:
    """The first rule of what may stand at a place."""
    return next((rule for pattern, rule in RANGES.items() if fnmatchcase(path, pattern)), None)


def _out_of_range(path: str, value: Any) -> str | None:
    """The allowed range of a value, if there is a rule for its path."""
    if (rule := _rule(path)) is not None:
        return None if value is None else rule.fault(value)
    is_number = isinstance(value, float) and not path.endswith('.norm_type')
    return None if not is_number or math.isfinite(value) else 'has to be a finite number'
