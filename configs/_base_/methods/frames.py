# WSAB of a retriever whose last layers learn from each frame behind the teacher's temporal Transformer,
# where the order of frames is; and from final embeddings.
_dims = _base_.model.student.embed_dims  # a retriever's
_pools = _base_.model.student.vision.out_type == 'avg_featmap'
model = dict(
    student=dict(vision=dict(out_type='featmap')) if _pools else dict(),
    distiller=dict(embedding_weight=10.0, frame_weight=10.0),
)
