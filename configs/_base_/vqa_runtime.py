_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.SaveHFAssetsHook'),
]
find_unused_parameters = (
    True  # the cls token of a frozen tower, roles that the other modality gives
)
