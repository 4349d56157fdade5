# Ablation: the other adaptive weight, a softmax over the layers' distances.
model = dict(distiller=dict(weighting='softmax'))
