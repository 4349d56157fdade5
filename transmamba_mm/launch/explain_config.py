"""Explain errors about what a config names: types, arguments, metrics, options."""

import inspect
import re

from mmengine.registry import Registry, root

from transmamba_mm import registry as ours
from transmamba_mm.errors import did_you_mean
from transmamba_mm.launch.raised_in import last_frame, raised_in


def unknown_type(text: str) -> str | None:
    """Explain a type that no registry has, or none; None for a KeyError that is not mmengine's."""
    match = re.match(r'(\S+) is not in the (?:\S+::)?(.+?) registry', text)
    if match is None and (found := re.match(r'`cfg` .*contain the key "type".*but got (.*)', text)):
        return f'A part of the config has no type: {found[1]:.200}'
    if match is None:
        return text if 'Duplicate key is not allowed among bases' in text else None
    name, kind = match.groups()
    known = [entry for item in _registries() if item.name == kind for entry in item.module_dict]
    return f'type={name!r} is not a known {kind}.{did_you_mean(name.rpartition(".")[2], known)}'


def wrong_argument(text: str) -> str | None:
    """Explain a config key that the class it builds does not accept, or lacks."""
    match = re.match(
        r'([\w.]+?)(\.__init__)?\(\) '
        r"(?:got an unexpected keyword argument '(\w+)'|missing |takes no arguments)",
        text,
    )
    if match is None:
        return None
    owner, is_class, key = match.groups()
    named = {
        name: built
        for item in _registries()
        for name, built in item.module_dict.items()
        if getattr(built, '__name__', None) == owner
    }
    if not named and not is_class:  # a function of anybody's
        return None
    shown = owner if owner in named or not named else next(iter(named))
    if 'missing ' in match[0]:
        return text if is_class else text.replace(f'{owner}()', shown, 1)
    if key is None:
        return f'{shown} takes no keys but its type.'
    accepted = [name for built in named.values() for name in inspect.signature(built).parameters]
    return f'{shown} takes no {key!r} in its config.{did_you_mean(key, accepted)}'


def unknown_metric(name: str, error: KeyError) -> str | None:
    """Explain a requested metric or prediction that nothing computes."""
    place = raised_in(error)
    if place == 'mmengine.hooks.checkpoint_hook':
        known = [*last_frame(error).f_locals.get('metrics', ())]
        return (
            f'save_best={name!r} (default_hooks.checkpoint) is not reported by the validation.'
            f'{did_you_mean(name, known)} It reports {", ".join(known)}. Fix it and continue '
            'from the last checkpoint with --resume.'
        )
    if place.startswith('mmpretrain.evaluation'):
        return (
            f'An evaluator needs {name!r}, which this model does not predict: choose the '
            'val_evaluator and test_evaluator that belong to its task.'
        )
    return None


def unreadable_option(error: RecursionError) -> str | None:
    """Explain a value that mmengine's parser of options never gets to the end of."""
    if raised_in(error) != 'mmengine.config.config':
        return None
    return (
        'A value of --cfg-options cannot be read: set single entries, as in '
        'model.subcloning.vision.importance=magnitude; lists are written "[1,2]", tuples "(1,2)".'
    )


def _registries() -> list[Registry]:
    """Every registry a config of ours can name something in."""
    modules = (ours, ours.mmpretrain, root)
    return [item for module in modules for item in vars(module).values() if type(item) is Registry]
