_base_ = './classifier.py'

student = dict(
    backbone=dict(type='transmamba_mm.Vim', arch='nano', img_size=8, patch_size=2, in_channels=1),
    head=dict(in_channels=64),
)
