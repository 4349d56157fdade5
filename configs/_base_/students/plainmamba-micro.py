_base_ = './classifier.py'

student = dict(
    backbone=dict(
        type='transmamba_mm.PlainMamba',
        arch='micro',
        img_size=32,
        patch_size=8,
        conv_width=3,  # 7x7 on a grid of 4x4 is mostly padding
        in_channels=1,
        parameters_in_raster_order=False,
        double_dt_bias=False,
    ),
    head=dict(in_channels=96),
)
