from transmamba_mm.engine.hooks import LabelRangeHook, NonFiniteLossHook, TransferReportHook

__all__ = ['LabelRangeHook', 'NonFiniteLossHook', 'TransferReportHook']
