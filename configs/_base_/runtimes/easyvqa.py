_base_ = './default.py'

custom_hooks = [
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.CalibrationHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
    dict(type='transmamba_mm.StageHook'),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=400, save_best='vqa/accuracy', rule='greater'),
    logger=dict(interval=50),
)
log_processor = dict(by_epoch=False)

# WSAB: vision and language are both subcloned and distilled; there is no head of classes to copy.
# Layers weigh much: with 0.3 and 0.1 the student still guesses yes or no from the question after
# 1,000 steps.
transfer = dict(
    subcloning=dict(
        _delete_=True,
        vision=dict(type='transmamba_mm.WeightSubcloning'),
        language=dict(type='transmamba_mm.WeightSubcloning'),
    ),
    distiller=dict(task_weight=0.5, layer_weight=10.0, direction_weight=3.0, logits_weight=1.0),
)
