_base_ = './mambavqa-130m.py'

student = dict(language=dict(checkpoint='state-spaces/mamba-790m-hf'))
