# CAB (arXiv 2510.19266) with its own weights: no labels, and a bridge that ends after a third of the steps. Of
# classifiers with B and C in each direction: Vim and VideoMamba.
_backbone = _base_.model.student.backbone
model = dict(
    layer_map='uniform', subcloning=None, distiller=dict(type='transmamba_mm.CAB', feature_end=0.3)
)
