_base_ = './classifier_224.py'

# VMambav2 of ratio 1 (v05_noz, officially s1l8); stochastic depth as in its recipe.
student = dict(
    backbone=dict(type='transmamba_mm.VMamba', arch='tiny', drop_path_rate=0.2),
    head=dict(in_channels=768),
)
