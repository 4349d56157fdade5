_base_ = './default.py'

keep_freed_memory = True
# The last weights count: nothing is chosen within a training.
default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=250, max_keep_ckpts=1, save_best=None),
)
log_processor = dict(by_epoch=False, window_size=50)
