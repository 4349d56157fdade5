# WSAB of a retriever that keeps the teacher's text tower, copied and frozen: only videos are learned.
_clip = _base_.model.teacher.model.config
model = dict(
    student=dict(text=dict(type='transmamba_mm.ClipText', config=_clip.text_config)),
    layer_map=dict(_delete_=True, vision=_base_.model.layer_map.vision),
    distiller=dict(embedding_weight=10.0),
    stages=[
        dict(
            name='videos alone',
            share=1.0,
            trains=['vision.*', 'visual_projection.*', 'logit_scale'],
        )
    ],
)
