# Ours with blocks that add as much to the stream as the teacher's attention, measured on unlabelled images.
_images = dict(calibration='scale')
_subcloning = _base_.model.subcloning
model = dict(subcloning=_images if 'type' in _subcloning else dict(vision=_images))
