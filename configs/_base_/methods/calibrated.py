# Ours with mixers that start as averages of values, as far back as the teacher's attention reaches, measured on
# unlabelled images.
_images = dict(calibration='attention')
_subcloning = _base_.model.subcloning
model = dict(subcloning=_images if 'type' in _subcloning else dict(vision=_images))
