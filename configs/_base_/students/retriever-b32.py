# Any vision student beside CLIP's own text encoder; a leaf adds vision. CLIP projects the cls token,
# so its student has to output it.
retriever = dict(
    type='transmamba_mm.VideoTextRetriever',
    text=dict(type='transmamba_mm.ClipText', checkpoint='openai/clip-vit-base-patch32'),
    embed_dims=512,
)
