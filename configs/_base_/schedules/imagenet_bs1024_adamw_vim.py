# The recipe of Vim, which is DeiT's: 300 epochs, 5 of warm-up, cosine.
# lr = 5e-4 * 1024 / 512 = 1e-3 for 8 GPUs x 128 images; --auto-scale-lr for any other batch.
# Gradients are clipped because a single bad batch is enough to send a scan to NaN; with --amp the
# scan itself stays in float32.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, betas=(0.9, 0.999)),
    constructor='transmamba_mm.SelectiveDecayOptimWrapperConstructor',
    clip_grad=dict(max_norm=5.0),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=5, convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=1024)
