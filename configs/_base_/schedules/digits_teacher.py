_base_ = 'digits.py'

# mmpretrain starts positions at 0.02, far below the patches' 0.3: a narrow ViT spends half of a
# short schedule on finding out where its patches are, unless its positions learn faster.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'pos_embed': dict(lr_mult=10.0, decay_mult=0.0),
            'cls_token': dict(lr_mult=10.0, decay_mult=0.0),
        }
    )
)
train_cfg = dict(max_iters=1000, val_interval=100)
