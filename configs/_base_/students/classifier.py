# What every image student shares. A leaf adds the number of classes, which is the data's.
student = dict(
    type='ImageClassifier',
    head=dict(
        type='LinearClsHead',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
