_base_ = './default.py'

# Steps of a few milliseconds: log every 20th, keep enough checkpoints to resume from.
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=220, save_best=None),
)
log_processor = dict(by_epoch=False, window_size=20)
