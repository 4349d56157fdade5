from transmamba_mm.transfer.features.features import FeatureKind, Features, TokenFeature
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.features.recorder import FeatureRecorder
from transmamba_mm.transfer.knowledge_transfer import KnowledgeTransfer
from transmamba_mm.transfer.layer_map import LayerMap
from transmamba_mm.transfer.subcloning import TransferLine, TransferReport, WeightSubcloning
from transmamba_mm.transfer.teacher import FrozenTeacher

__all__ = [
    'FeatureKind',
    'FeatureRecorder',
    'Features',
    'FrozenTeacher',
    'KnowledgeTransfer',
    'LayerMap',
    'LayerMatch',
    'ModelMatch',
    'TokenFeature',
    'TransferLine',
    'TransferReport',
    'WeightSubcloning',
]
