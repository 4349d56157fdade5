# Frame by frame and their mean, and CLIP's own words. The cls token is what CLIP's projection reads,
# too; stochastic depth as in Vim's scripts.
student = dict(
    type='transmamba_mm.VideoTextRetriever',
    vision=dict(
        type='transmamba_mm.Vim',
        arch='small',
        img_size=224,
        patch_size=16,
        out_type='cls_token',
        drop_path_rate=0.05,
    ),
    text=dict(type='transmamba_mm.ClipText', checkpoint='openai/clip-vit-base-patch32'),
    embed_dims=512,
    temporal='mean',
)
