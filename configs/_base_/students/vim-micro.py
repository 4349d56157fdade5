_base_ = './classifier.py'

student = dict(
    backbone=dict(type='transmamba_mm.Vim', arch='micro', img_size=28, patch_size=7, in_channels=1),
    head=dict(in_channels=96),
)
