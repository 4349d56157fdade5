# Ours with a third of the patches hidden from the student, as long as features are compared.
model = dict(distiller=dict(mask_ratio=0.33, feature_end=0.5))
