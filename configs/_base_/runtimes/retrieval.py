_base_ = './default.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CalibrationHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.SaveHFAssetsHook'),
    dict(type='transmamba_mm.StageHook'),
]
default_hooks = dict(checkpoint=dict(save_best='retrieval/t2v_R1', rule='greater'))

# WSAB of dual encoders: vision is subcloned and distilled. The text encoder is the teacher's own,
# tokenizer, layers and projection; it is copied, not compared. Logits are similarities, both ways.
transfer = dict(
    layer_map=dict(_delete_=True, vision='uniform'),
    subcloning=dict(
        _delete_=True,
        vision=dict(type='transmamba_mm.WeightSubcloning'),
        text=dict(type='transmamba_mm.WeightSubcloning'),
    ),
    distiller=dict(task_weight=0.5, layer_weight=0.3, direction_weight=0.1, logits_weight=1.0),
)
