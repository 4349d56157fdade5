# Ablation: the other adaptive weight, a softmax over the layers' distance.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(distiller=dict(weighting='softmax'))
