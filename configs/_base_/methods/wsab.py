# Weight subcloning, then adaptive bidirectional distillation. What is written here is for images;
# another task's values are in its runtime base.
# The teacher labels each augmented view, a hard label only its image: hard labels count a fifth.
# Features guide, logits lead: a feature term that is too strong costs accuracy on little data.
method = 'wsab'
model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    layer_map='uniform',
    subcloning=dict(type='transmamba_mm.WeightSubcloning'),
    distiller=dict(
        type='transmamba_mm.WSAB',
        task_weight=0.2,
        layer_weight=0.3,
        direction_weight=0.1,
        logits_weight=2.0,
    ),
)
