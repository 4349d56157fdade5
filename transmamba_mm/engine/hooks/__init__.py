from transmamba_mm.engine.hooks.architecture_hook import ArchitectureHook
from transmamba_mm.engine.hooks.bad_item_hook import BadItemHook
from transmamba_mm.engine.hooks.checkpoint_hook import CheckpointHook
from transmamba_mm.engine.hooks.label_range_hook import LabelRangeHook
from transmamba_mm.engine.hooks.mean_loss_hook import MeanLossHook
from transmamba_mm.engine.hooks.non_finite_loss_hook import NonFiniteLossHook
from transmamba_mm.engine.hooks.rerank_hook import RerankHook
from transmamba_mm.engine.hooks.transfer_report_hook import TransferReportHook

__all__ = [
    'ArchitectureHook',
    'BadItemHook',
    'CheckpointHook',
    'LabelRangeHook',
    'MeanLossHook',
    'NonFiniteLossHook',
    'RerankHook',
    'TransferReportHook',
]
