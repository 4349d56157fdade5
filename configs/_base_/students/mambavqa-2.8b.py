_base_ = './mambavqa-130m.py'

student = dict(language=dict(checkpoint='state-spaces/mamba-2.8b-hf'))
