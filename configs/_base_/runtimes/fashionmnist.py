_base_ = './default.py'

# The last weights count: nothing is chosen within a training.
default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=200, save_best=None),
)
log_processor = dict(by_epoch=False, window_size=50)
