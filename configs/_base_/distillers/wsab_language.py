# Student and teacher share a frozen vision encoder; only the language model is distilled. The scan of the student comes
# from a pre-trained language Mamba (its checkpoint), which subcloning would overwrite.
layer_map = dict(language='uniform')
subcloning = None
distiller = dict(
    type='transmamba_mm.WSAB',
    task_weight=0.5,
    layer_weight=1.0,
    direction_weight=1.0,
    logits_weight=1.0,
)
