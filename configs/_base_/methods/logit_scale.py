# WSAB of a retriever whose similarities are scaled as the teacher's from the first step.
_dims = _base_.model.student.embed_dims  # a retriever's
model = dict(subcloning=dict(logit_scale=True))
