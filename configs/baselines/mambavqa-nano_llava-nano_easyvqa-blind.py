# No fusion: the language model reads the question and nothing of the image.
_base_ = '../transmamba/mambavqa-nano_llava-nano_easyvqa.py'

model = dict(
    student=dict(vision=None, cross_mamba=None),
    subcloning=dict(_delete_=True, language=dict(type='transmamba_mm.WeightSubcloning')),
)
