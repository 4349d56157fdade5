# No fusion: the language model reads the question and nothing of the image.
_base_ = '../scratch/mambavqa-nano_easyvqa.py'

model = dict(vision=None, cross_mamba=None)
