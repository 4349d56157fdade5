from transmamba_mm.engine.hooks import (
    BadItemHook,
    LabelRangeHook,
    NonFiniteLossHook,
    TransferReportHook,
)

__all__ = ['BadItemHook', 'LabelRangeHook', 'NonFiniteLossHook', 'TransferReportHook']
