from transmamba_mm.engine.hooks import (
    CheckpointHook,
    CorruptSampleHook,
    LabelRangeHook,
    MeanLossHook,
    NonFiniteLossHook,
    SaveHFAssetsHook,
    TransferReportHook,
)
from transmamba_mm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from transmamba_mm.engine.optim import CpuAmpOptimWrapper, SelectiveDecayOptimWrapperConstructor

__all__ = [
    'CheckpointHook',
    'CorruptSampleHook',
    'CpuAmpOptimWrapper',
    'EpochBasedTrainLoop',
    'IterBasedTrainLoop',
    'LabelRangeHook',
    'MeanLossHook',
    'NonFiniteLossHook',
    'SaveHFAssetsHook',
    'SelectiveDecayOptimWrapperConstructor',
    'TransferReportHook',
]
