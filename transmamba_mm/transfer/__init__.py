from transmamba_mm.transfer.features.features import Features, LayerMatch
from transmamba_mm.transfer.features.recorder import FeatureRecorder
from transmamba_mm.transfer.knowledge_transfer import KnowledgeTransfer
from transmamba_mm.transfer.layer_map import LayerMap
from transmamba_mm.transfer.subcloning import TransferLine, TransferReport, WeightSubcloning
from transmamba_mm.transfer.teacher import FrozenTeacher

__all__ = [
    'FeatureRecorder',
    'Features',
    'FrozenTeacher',
    'KnowledgeTransfer',
    'LayerMap',
    'LayerMatch',
    'TransferLine',
    'TransferReport',
    'WeightSubcloning',
]
