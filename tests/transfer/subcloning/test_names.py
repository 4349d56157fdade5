import pytest

from transmamba_mm.transfer.subcloning.names import match

FLAT, STAGES = 'blocks.#', 'stages.#.blocks.#'


@pytest.mark.parametrize(
    'pattern, key, form, layer',
    [
        ('a.{layer}.b', 'a.blocks.12.b', FLAT, 'blocks.12'),
        ('a.{layer}.b', 'a.blocks.x.b', FLAT, None),
        ('a.{layer}.b', 'a.layers.1.b', FLAT, None),
        ('a.{layer}.b', 'a.blocks.1.b.c', FLAT, None),
        ('a.{layer}.*.b', 'a.blocks.3.fwd.b', FLAT, 'blocks.3'),
        ('a.{layer}.*.b', 'a.blocks.3.fwd.x.b', FLAT, None),
        ('a.{layer}.**', 'a.blocks.3.fwd.x.b', FLAT, 'blocks.3'),
        ('a.{layer}.b', 'a.stages.1.blocks.10.b', STAGES, 'stages.1.blocks.10'),
        ('a.{layer}.b', 'a.stages.1.b', STAGES, None),
        ('a.stages.*.c', 'a.stages.1.c', STAGES, ''),
        ('a.b', 'a.b', FLAT, ''),
        ('a.b', 'axb', FLAT, None),
    ],
)
def test_match(pattern, key, form, layer):
    assert match(pattern, key, form) == layer
