# Ablation: stage 2 alone; the student keeps its own initialization.
_base_ = '../transmamba/vim-nano_deit-nano_digits.py'

model = dict(subcloning=None)
