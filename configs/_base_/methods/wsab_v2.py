# Version 2 clones the first n layers alone (selective subcloning); the others keep their initialization.
# What n is best depends on the depth: --cfg-options model.subcloning.layer_map.n=4
_first = dict(layer_map=dict(_delete_=True, kind='first_n', n=2))
_subcloning = _base_.model.subcloning
model = dict(
    subcloning=_first
    if 'type' in _subcloning
    else {name: _first for name, part in _subcloning.items() if isinstance(part, dict)}
)
