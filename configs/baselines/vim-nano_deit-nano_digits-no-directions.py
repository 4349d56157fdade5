# Ablation: subcloning, whole layers and logits, but no scan by itself.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(distiller=dict(direction_weight=0.0))
