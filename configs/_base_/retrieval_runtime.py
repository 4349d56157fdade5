_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.SaveHFAssetsHook'),
]
default_hooks = dict(checkpoint=dict(save_best='retrieval/t2v_R1', rule='greater'))
