from transmamba_mm.engine.hooks import (
    ArchitectureHook,
    BadItemHook,
    CheckpointHook,
    LabelRangeHook,
    MeanLossHook,
    NonFiniteLossHook,
    TransferReportHook,
)
from transmamba_mm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from transmamba_mm.engine.optim import CpuAmpOptimWrapper, SelectiveDecayOptimWrapperConstructor

__all__ = [
    'ArchitectureHook',
    'BadItemHook',
    'CheckpointHook',
    'CpuAmpOptimWrapper',
    'EpochBasedTrainLoop',
    'IterBasedTrainLoop',
    'LabelRangeHook',
    'MeanLossHook',
    'NonFiniteLossHook',
    'SelectiveDecayOptimWrapperConstructor',
    'TransferReportHook',
]
