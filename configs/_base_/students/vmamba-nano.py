_base_ = './classifier.py'

student = dict(
    backbone=dict(type='transmamba_mm.VMamba', arch='nano', patch_size=2, in_channels=1),
    head=dict(in_channels=96),
)
