_base_ = 'digits.py'

# mmpretrain starts positions at 0.02, far below the patches' 0.3: a narrow ViT spends half of a
# short schedule on finding out where its patches are, unless its positions learn faster.
optim_wrapper = dict(paramwise_cfg=dict(position_lr_mult=10.0, token_lr_mult=10.0))
train_cfg = dict(max_iters=1000, val_interval=100)
