_base_ = './deit.py'

teacher = dict(
    model=dict(backbone=dict(arch='deit-small'), head=dict(in_channels=384)),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth',
)
