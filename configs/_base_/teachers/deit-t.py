_base_ = './deit.py'

teacher = dict(
    model=dict(backbone=dict(arch='deit-tiny'), head=dict(in_channels=192)),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth',
)
