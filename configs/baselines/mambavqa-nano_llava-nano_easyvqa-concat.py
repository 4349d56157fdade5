# No cross-Mamba: question and image meet in the language model alone.
_base_ = '../scratch/mambavqa-nano_easyvqa.py'

model = dict(cross_mamba=None)
