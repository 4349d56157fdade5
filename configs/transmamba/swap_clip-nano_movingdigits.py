_base_ = [
    '../_base_/teachers/clip-nano.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/movingdigits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/runtimes/movingdigits.py',
]

_clip = _base_.teacher.model
_vision = dict(
    type='transmamba_mm.ClipVision', config=_clip.config.vision_config, out_type='avg_featmap'
)
_text = dict(type='transmamba_mm.ClipText', config=_clip.config.text_config)
student = dict(
    type='transmamba_mm.VideoTextRetriever',
    vision=dict(type='transmamba_mm.AttentionSwap', transformer=_vision),
    text=dict(type='transmamba_mm.CausalAttentionSwap', transformer=_text),
    tokenizer=_clip.tokenizer,
    embed_dims=_clip.config.projection_dim,
    temporal=dict(type='mamba', num_layers=2),
)
model = dict(
    student=student,
    teacher=_base_.teacher,
    # Both encode each frame alone, so all layers have a teacher layer.
    **{**_base_.transfer, 'layer_map': 'uniform'},
)
