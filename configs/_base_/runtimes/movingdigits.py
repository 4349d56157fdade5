_base_ = './default.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CalibrationHook'),
    dict(type='transmamba_mm.StageHook'),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=250, save_best='retrieval/t2v_R1', rule='greater'),
    logger=dict(interval=50),
)
log_processor = dict(by_epoch=False)

# WSAB: vision and text are both subcloned and distilled. The teacher encodes each frame alone, then
# models time with a Transformer over frames, which is left to the student's last two layers. Logits
# are similarities, both ways, and a trained CLIP's scale is large.
transfer = dict(
    layer_map=dict(_delete_=True, vision=[0, 1, 2, 3, None, None], text='uniform'),
    subcloning=dict(
        _delete_=True,
        vision=dict(type='transmamba_mm.WeightSubcloning'),
        text=dict(type='transmamba_mm.WeightSubcloning'),
    ),
    distiller=dict(task_weight=0.5, layer_weight=10.0, direction_weight=3.0, logits_weight=0.2),
)
