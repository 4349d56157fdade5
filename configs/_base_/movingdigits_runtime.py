_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.TransferReportHook'),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=250, save_best='retrieval/t2v_R1', rule='greater'),
    logger=dict(interval=50),
)
log_processor = dict(by_epoch=False)
