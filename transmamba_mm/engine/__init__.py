from transmamba_mm.engine.hooks import (
    ArchitectureHook,
    BadItemHook,
    LabelRangeHook,
    NonFiniteLossHook,
    TransferReportHook,
)

__all__ = [
    'ArchitectureHook',
    'BadItemHook',
    'LabelRangeHook',
    'NonFiniteLossHook',
    'TransferReportHook',
]
