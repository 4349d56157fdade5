# CLIP4Clip's: 5 epochs of 16 captions on each of 8 GPUs, a tenth of them warm-up. Its rate for what
# is new, 1e-4, is about Vim's at this batch (5e-4 * 128 / 512).
# CLIP's text tower learns at a thousandth of the rate, as there: its embeddings must stay comparable
# while the Mamba is trained. Decay would be nothing at that rate.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, betas=(0.9, 0.98)),
    clip_grad=dict(max_norm=1.0),
    constructor='transmamba_mm.SelectiveDecayOptimWrapperConstructor',
    paramwise_cfg=dict(lr_mults={'text.*': 1e-3}),
)
# A ratio at the end, since an absolute rate would be more than the text tower begins with.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=0.5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=1e-2, begin=0.5, end=5, convert_to_iter_based=True
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=5, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
