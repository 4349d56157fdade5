_base_ = './mambavqa-130m.py'

# With CLIP's ViT-L about 0.7 billion parameters in all.
student = dict(language=dict(checkpoint='state-spaces/mamba-370m-hf'))
