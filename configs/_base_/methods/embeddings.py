# WSAB of a retriever with the strongest single term of CLIP-KD (arXiv 2307.12732): unit vectors of
# videos and of texts near the teacher's.
_dims = _base_.model.student.embed_dims  # a retriever's
model = dict(distiller=dict(embedding_weight=10.0))
