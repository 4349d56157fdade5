_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='TransferReportHook'),
    dict(type='BadItemHook'),
    dict(type='ArchitectureHook'),
]
find_unused_parameters = (
    True  # the cls token of a frozen tower, roles that the other modality gives
)
