_base_ = './classifier_224.py'

# New training does without the two quirks that the released weights need.
student = dict(
    backbone=dict(
        type='transmamba_mm.PlainMamba',
        arch='L1',
        img_size=224,
        parameters_in_raster_order=False,
        double_dt_bias=False,
    ),
    head=dict(in_channels=192),
)
