"""Imports run one way: no folder imports one above it, no two modules import each other."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: From the ground up; what shares a floor may import each other, as long as it is no circle.
FLOORS = (
    ('transmamba_mm',),  # loose modules: errors, tables, registry, ...
    ('transmamba_mm.ops',),
    ('transmamba_mm.datasets', 'transmamba_mm.models', 'transmamba_mm.models.layouts'),
    ('transmamba_mm.models.mixers',),
    ('transmamba_mm.models.backbones',),
    ('transmamba_mm.models.hf',),
    ('transmamba_mm.models.necks',),
    ('transmamba_mm.models.vqa', 'transmamba_mm.models.retrieval'),
    ('transmamba_mm.transfer.layer_map',),
    ('transmamba_mm.transfer.features', 'transmamba_mm.transfer.subcloning'),
    ('transmamba_mm.transfer',),
    ('transmamba_mm.distillers',),
    ('transmamba_mm.convert', 'transmamba_mm.evaluation', 'transmamba_mm.engine'),
    ('transmamba_mm.launch',),
    ('transmamba_mm.study', 'transmamba_mm.apis'),
    ('transmamba_mm.own_data',),
    ('tools', 'benchmarks'),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    paths = [path for top in ('transmamba_mm', 'tools', 'benchmarks') for path in module_paths(top)]
    names = ('.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in paths)
    return dict(zip(names, paths, strict=True))


def module_paths(top: str) -> list[Path]:
    return [path for path in (ROOT / top).rglob('*.py') if '.mim' not in path.parts]


def room_of(module: str) -> str:
    return next(room for room in (module, *parents(module)) if room in FLOOR)


def parents(module: str) -> Iterator[str]:
    while module:
        module = module.rpartition('.')[0]
        yield module


def imports_of(path: Path) -> Iterator[str]:
    """Our modules that a module imports, at its top or later; packages as their ``__init__``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f'{node.module}.{name.name}'
                is_module = inner in MODULES or f'{inner}.__init__' in MODULES
                yield inner if is_module else node.module


MODULES = modules()
IMPORTS = {
    name: {
        target if target in MODULES else f'{target}.__init__'
        for target in imports_of(path)
        if target in MODULES or f'{target}.__init__' in MODULES
    }
    for name, path in MODULES.items()
}


@pytest.mark.parametrize('name', [name for name in IMPORTS if not name.endswith('__init__')])
def test_nothing_imports_upwards(name):
    own = FLOOR[room_of(name)]
    above = [target for target in IMPORTS[name] if FLOOR[room_of(target)] > own]
    assert not above, f'{name} is below {above}'


def test_no_two_modules_import_each_other():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(' <- '.join(error.args[1]))
