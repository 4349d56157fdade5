from transmamba_mm.engine.hooks.bad_video_hook import BadVideoHook
from transmamba_mm.engine.hooks.label_range_hook import LabelRangeHook
from transmamba_mm.engine.hooks.non_finite_loss_hook import NonFiniteLossHook
from transmamba_mm.engine.hooks.transfer_report_hook import TransferReportHook

__all__ = ['BadVideoHook', 'LabelRangeHook', 'NonFiniteLossHook', 'TransferReportHook']
