# lr = 5e-4 * 128 / 512: DeiT's rule at one GPU's batch. CIFAR-100 is 25 times smaller than
# ImageNet; 100 epochs at 224 pixels are 39,000 steps.
_base_ = 'imagenet_bs1024_adamw_vim.py'

optim_wrapper = dict(optimizer=dict(lr=1.25e-4))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=128)
