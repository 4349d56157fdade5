# Questions without images: neither vision nor fusion, only the language model is subcloned.
_subcloning = _base_.model.subcloning
model = dict(
    student=dict(vision=None, cross_mamba=None),
    subcloning=_subcloning and dict(_delete_=True, language=_subcloning.get('language')),
)
