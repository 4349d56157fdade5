_base_ = './classifier_224.py'

# The released Vim: cls token in the middle, both directions averaged.
student = dict(
    backbone=dict(type='transmamba_mm.Vim', arch='tiny', img_size=224, patch_size=16),
    head=dict(in_channels=192),
)
