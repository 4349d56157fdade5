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

__all__ = [
    'ArchitectureHook',
    'BadItemHook',
    'CheckpointHook',
    'EpochBasedTrainLoop',
    'IterBasedTrainLoop',
    'LabelRangeHook',
    'MeanLossHook',
    'NonFiniteLossHook',
    'TransferReportHook',
]
