# A clip as one sequence, and CLIP's own words. The cls token is what CLIP's projection reads, too.
student = dict(
    type='transmamba_mm.VideoTextRetriever',
    vision=dict(
        type='transmamba_mm.VideoMamba',
        arch='tiny',
        img_size=224,
        num_frames=12,
        patch_size=16,
        out_type='cls_token',
    ),
    text=dict(type='transmamba_mm.ClipText', checkpoint='openai/clip-vit-base-patch32'),
    embed_dims=512,
)
