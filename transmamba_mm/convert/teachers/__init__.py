from transmamba_mm.convert.teachers.pretrained import ImageSettings, PretrainedClassifier
from transmamba_mm.convert.teachers.read import read_pretrained

__all__ = ['ImageSettings', 'PretrainedClassifier', 'read_pretrained']
