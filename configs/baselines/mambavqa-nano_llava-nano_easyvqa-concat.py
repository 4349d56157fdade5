# The same transfer without cross-Mamba: question and image meet in the language model alone.
_base_ = '../transmamba/mambavqa-nano_llava-nano_easyvqa.py'

model = dict(student=dict(cross_mamba=None))
