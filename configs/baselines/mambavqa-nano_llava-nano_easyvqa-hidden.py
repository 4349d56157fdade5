# B and C are read from the hidden state, so that query and key can be cloned too.
_base_ = '../transmamba/mambavqa-nano_llava-nano_easyvqa.py'

model = dict(student=dict(language=dict(config=dict(bc_from='hidden'))))
