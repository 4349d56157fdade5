# Ablation: every layer counts the same.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(distiller=dict(weighting='uniform'))
