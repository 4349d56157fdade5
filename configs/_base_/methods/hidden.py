# B and C are projected from the hidden state, so that query and key can be cloned too.
model = dict(student=dict(language=dict(config=dict(bc_from='hidden'))))
