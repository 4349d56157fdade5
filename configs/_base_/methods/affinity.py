# Ours with how tokens relate within a layer, in place of the tokens themselves: no projectors.
model = dict(distiller=dict(layer_weight=0.0, direction_weight=0.0, affinity_weight=1.0))
