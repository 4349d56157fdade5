import pytest

from transmamba_mm.transfer.layer_names import count_stages, find_layers, match

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


def test_layers_are_found_in_numeric_order():
    paths = [f'layers.{i}' for i in range(12)]
    keys = [f'backbone.{path}.ffn.layers.{j}.0.weight' for path in sorted(paths) for j in (0, 1)]
    assert find_layers('layers.#', [*keys, 'backbone.layers.weight', 'head.layers.0.x']) == paths


def test_stages():
    paths = ['stages.0.blocks.0', 'stages.0.blocks.1', 'stages.1.blocks.0', 'stages.10.blocks.0']
    keys = [f'backbone.{path}.norm1.weight' for path in reversed(paths)]
    assert find_layers(STAGES, [*keys, 'backbone.stages.0.downsample.norm.weight']) == paths
    assert count_stages(paths) == [2, 1, 1]
    assert count_stages([f'blocks.{i}' for i in range(5)]) == [5]
    assert count_stages(find_layers(STAGES, [])) == []
