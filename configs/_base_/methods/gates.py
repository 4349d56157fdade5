# Ours with the teacher's MLPs: attention goes into even blocks, MLPs go as gates into odd ones, for students
# whose blocks have no MLP. A model with several towers gets them in its vision tower.
if not _base_.model.subcloning:
    raise ValueError('its subcloning is None, so no block would take an MLP')
_map = _base_.model.layer_map
model = dict(
    layer_map=dict(_map, vision='alternate') if isinstance(_map, dict) else 'alternate',
)
