_base_ = './default.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CalibrationHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.SaveHFAssetsHook'),
    dict(type='transmamba_mm.StageHook'),
]
find_unused_parameters = (
    True  # the cls token of a frozen tower, roles that the other modality gives
)

# WSAB of language models: student and teacher share a frozen vision encoder. The scan of the student
# comes from a pre-trained language Mamba (its checkpoint), which subcloning would overwrite.
transfer = dict(
    layer_map=dict(_delete_=True, language='uniform'),
    subcloning=None,
    distiller=dict(task_weight=0.5, layer_weight=1.0, direction_weight=1.0, logits_weight=1.0),
)
