default_scope = 'transmamba_mm'
custom_imports = dict(imports=['transmamba_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='transmamba_mm.CheckpointHook', interval=1, max_keep_ckpts=2, save_best='auto'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    mean_loss=dict(type='transmamba_mm.MeanLossHook'),
)
custom_hooks = [
    dict(type='transmamba_mm.LabelRangeHook'),
    dict(type='transmamba_mm.NonFiniteLossHook'),
    dict(type='transmamba_mm.TransferReportHook'),
    dict(type='transmamba_mm.StageHook'),
    dict(type='transmamba_mm.CalibrationHook'),
    dict(type='transmamba_mm.CorruptSampleHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmpretrain.UniversalVisualizer', vis_backends=vis_backends)

scan_backend = 'auto'  # 'cpp', 'triton', 'mamba_ssm', 'torch', 'reference': that one or an error
keep_freed_memory = False  # True: faster steps on a CPU, but the process never shrinks again

log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
