# Ablation: distillation alone; the student keeps its own initialization.
model = dict(subcloning=None)
