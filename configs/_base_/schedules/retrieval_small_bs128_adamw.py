_base_ = './retrieval_bs128_adamw.py'

# One caption a video: an epoch shows each once, where one of MSR-VTT shows it twenty times. CLIP is
# fine-tuned in 5 such epochs; a Mamba without pre-training gets MSR-VTT's 100 views.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=1e-2, begin=10, end=100, convert_to_iter_based=True
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
