# Ours with scans that read and write values as they are: identity convolution, open gate where it has a bias.
_mimic = dict(mimic_scan=True)
_subcloning = _base_.model.subcloning
model = dict(subcloning=_mimic if 'type' in _subcloning else dict.fromkeys(_subcloning, _mimic))
