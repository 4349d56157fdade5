from transmamba_mm.engine.hooks import (
    BadVideoHook,
    LabelRangeHook,
    NonFiniteLossHook,
    TransferReportHook,
)

__all__ = ['BadVideoHook', 'LabelRangeHook', 'NonFiniteLossHook', 'TransferReportHook']
