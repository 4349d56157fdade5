_base_ = 'fashionmnist.py'

# 15 epochs of the teacher's 30,000 images; positions learn faster, as in digits_teacher.py.
optim_wrapper = dict(paramwise_cfg=dict(position_lr_mult=10.0, token_lr_mult=10.0))
train_cfg = dict(max_iters=3500, val_interval=500)
