_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='TransferReportHook'),
    dict(type='BadItemHook'),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400, save_best='vqa/accuracy', rule='greater'),
    logger=dict(interval=50),
)
log_processor = dict(by_epoch=False)
