"""Seeded mutations of configs: what people type wrongly, and what nobody should."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

Path_ = tuple[str | int, ...]
#: Names whose values a leaf copies into its model: changing them later changes nothing.
COPIES = (
    'student',
    'teacher',
    'teacher_model',
    'vision_config',
    'retriever',
    'transfer',
)
#: What a training does not read, or the fuzzer sets itself.
UNUSED = ('work_dir', 'launcher', 'method', 'test_dataloader', 'test_evaluator', 'test_cfg')
#: Values of a wrong kind or size. 'nan' and 'inf' are what --cfg-options makes numbers of.
NUMBERS = (-1, -5, 0, -0.5, 10**9, 10**18, 1e30, float('nan'), float('inf'))
OTHERS = (None, 'x', '', [], {}, True, [1, 'x'], {'x': 1})


@dataclass(frozen=True)
class Mutant:
    """One change of one config.

    Attributes:
        leaf (str): Name of the config.
        change (str): For people.
        text (str): Lines to append to a config that inherits the leaf; or empty.
        options (tuple[str, ...]): Of ``--cfg-options``; or empty.
        writes (bool): Sets a value, which must have an effect; False for a deletion.
    """

    leaf: str
    change: str
    text: str = ''
    options: tuple[str, ...] = field(default=())
    writes: bool = True


def mutants(configs: dict[str, Path], count: int, seed: int) -> list[Mutant]:
    """``count`` different ones, evenly over ``configs`` (names and files)."""
    drawn = random.Random(seed)
    loaded = {name: Config.fromfile(file).to_dict() for name, file in configs.items()}
    found: dict[Mutant, None] = {}
    while len(found) < count:
        for name, cfg in loaded.items():
            found[_mutate(name, cfg, drawn)] = None
    return list(found)[:count]


def _mutate(leaf: str, cfg: dict, drawn: random.Random) -> Mutant:
    kind = drawn.choices(['value', 'typo', 'unknown', 'delete', 'copy'], [10, 3, 2, 3, 2])[0]
    places = [
        (path, value) for path, value in _walk(cfg) if (path[0] in COPIES) is (kind == 'copy')
    ]
    if kind == 'copy' and not places:
        kind, places = 'value', list(_walk(cfg))
    if kind in ('value', 'copy'):
        return _change_value(leaf, cfg, *drawn.choice(places), drawn)
    named = [path for path, _ in places if isinstance(path[-1], str)]
    path = drawn.choice(named)
    above, key = path[:-1], str(path[-1])
    before = _get(cfg, above)
    if kind == 'typo':
        after = {(_misspell(key, drawn) if name == key else name): v for name, v in before.items()}
    elif kind == 'unknown':
        after = {**before, drawn.choice(['foo', 'learning_rate', 'verbose', 'numlayers']): 1}
    else:
        after = {name: value for name, value in before.items() if name != key}
    change = f'{kind} {_dotted(path)}: {set(before) ^ set(after)}'
    if not above:
        changed = {name: after[name] for name in after if name not in before}
        if kind == 'delete':
            return Mutant(leaf, change, f'{key} = None\n', writes=False)
        lines = ''.join(f'{name} = {_literal(value)}\n' for name, value in changed.items())
        return Mutant(leaf, change, lines)
    if kind == 'unknown' and drawn.random() < 0.5 and all(isinstance(p, str) for p in above):
        new = next(iter(set(after) - set(before)))
        return Mutant(leaf, change, options=(f'{_dotted((*above, new))}=1',))
    return Mutant(leaf, change, _replace(cfg, above, after), writes=kind != 'delete')


def _change_value(leaf: str, cfg: dict, path: Path_, value: Any, drawn: random.Random) -> Mutant:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    pool = (*NUMBERS, *OTHERS) if numeric else (*OTHERS, *drawn.sample(NUMBERS, 3))
    new = drawn.choice([item for item in pool if not _same(item, value)])
    change = f'{_dotted(path)} = {new!r}'
    plain = not isinstance(new, (list, dict)) and new != ''
    if plain and drawn.random() < 0.5:
        return Mutant(leaf, change + ' (option)', options=(f'{_dotted(path)}={new}',))
    return Mutant(leaf, change, _replace(cfg, path, new))


def _walk(node: Any, above: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if above == () and key in UNUSED:
            continue
        yield (*above, key), value
        if isinstance(value, (dict, list)):
            yield from _walk(value, (*above, key))


def _get(cfg: Any, path: Path_) -> Any:
    for key in path:
        cfg = cfg[key]
    return cfg


def _replace(cfg: dict, path: Path_, value: Any) -> str:
    """A line that gives the top-level key of ``path`` its value, but for ``value`` at the path."""

    def rebuilt(node: Any, rest: Path_) -> Any:
        if not rest:
            return value
        if isinstance(node, dict):
            return {k: rebuilt(v, rest[1:]) if k == rest[0] else v for k, v in node.items()} | (
                {} if rest[0] in node else {rest[0]: value}
            )
        return [rebuilt(v, rest[1:]) if i == rest[0] else v for i, v in enumerate(node)]

    top = rebuilt(cfg[path[0]], path[1:])
    if isinstance(top, dict):
        top = {'_delete_': True, **top}
    return f'{path[0]} = {_literal(top)}\n'


def _literal(value: Any) -> str:
    """Python that gives ``value``, also where it is not a finite number."""
    if isinstance(value, dict):
        return f'{{{", ".join(f"{k!r}: {_literal(v)}" for k, v in value.items())}}}'
    if isinstance(value, (list, tuple)):
        return f'[{", ".join(map(_literal, value))}]'
    return repr(value) if not isinstance(value, float) else f'float({str(value)!r})'


def _misspell(word: str, drawn: random.Random) -> str:
    place = drawn.randrange(len(word))
    ways = [
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
    ]
    fit = [way for way in ways if way.isidentifier() and way != word]
    return drawn.choice(fit or [word + 's'])


def _same(one: Any, other: Any) -> bool:
    return one == other and type(one) is type(other)


def _dotted(path: Path_) -> str:
    return '.'.join(map(str, path))
