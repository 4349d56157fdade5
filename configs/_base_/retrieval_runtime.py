_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='TransferReportHook'),
    dict(type='BadItemHook'),
    dict(type='ArchitectureHook'),
]
default_hooks = dict(checkpoint=dict(save_best='retrieval/t2v_R1', rule='greater'))
