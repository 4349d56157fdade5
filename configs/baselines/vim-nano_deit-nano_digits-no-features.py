# Ablation: subcloning and logits, but no features at all.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(distiller=dict(layer_weight=0.0, direction_weight=0.0))
