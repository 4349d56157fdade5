_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400, save_best='vqa/accuracy', rule='greater'),
    logger=dict(interval=50),
)
log_processor = dict(by_epoch=False)
