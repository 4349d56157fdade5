_base_ = './classifier.py'

student = dict(
    backbone=dict(type='transmamba_mm.VMamba', arch='micro', patch_size=7, in_channels=1),
    head=dict(in_channels=144),
)
