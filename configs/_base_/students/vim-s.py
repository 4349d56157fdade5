_base_ = './classifier_224.py'

# The released Vim: cls token in the middle, both directions averaged, stochastic depth as in its
# scripts.
student = dict(
    backbone=dict(
        type='transmamba_mm.Vim', arch='small', img_size=224, patch_size=16, drop_path_rate=0.05
    ),
    head=dict(in_channels=384),
)
