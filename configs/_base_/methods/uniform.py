# Ablation: all layers weigh the same.
model = dict(distiller=dict(weighting='uniform'))
