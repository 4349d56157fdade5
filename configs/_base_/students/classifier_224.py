_base_ = './classifier.py'

# The recipe of Vim, VMamba, PlainMamba and VideoMamba, which is DeiT's.
student = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
)
