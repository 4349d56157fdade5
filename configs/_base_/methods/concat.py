# Questions without cross-Mamba: question and image meet in the language model alone.
model = dict(student=dict(cross_mamba=None))
