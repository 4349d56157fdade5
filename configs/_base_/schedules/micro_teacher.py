_base_ = 'micro.py'

# Positions learn faster, as in digits_teacher.py.
optim_wrapper = dict(
    optimizer=dict(lr=1e-3), paramwise_cfg=dict(position_lr_mult=10.0, token_lr_mult=10.0)
)
train_cfg = dict(max_iters=4000, val_interval=1000)
