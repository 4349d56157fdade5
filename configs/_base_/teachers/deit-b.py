_base_ = './deit.py'

teacher = dict(
    model=dict(backbone=dict(arch='deit-base'), head=dict(in_channels=768)),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-base_pt-16xb64_in1k_20220216-db63c16c.pth',
)
