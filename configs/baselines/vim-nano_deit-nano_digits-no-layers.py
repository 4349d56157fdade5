# Ablation: subcloning, scan directions and logits, but no whole-layer term.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(distiller=dict(layer_weight=0.0))
