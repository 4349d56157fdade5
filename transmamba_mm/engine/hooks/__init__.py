from transmamba_mm.engine.hooks.calibration_hook import CalibrationHook
from transmamba_mm.engine.hooks.checkpoint_hook import CheckpointHook
from transmamba_mm.engine.hooks.corrupt_sample_hook import CorruptSampleHook
from transmamba_mm.engine.hooks.label_range_hook import LabelRangeHook
from transmamba_mm.engine.hooks.mean_loss_hook import MeanLossHook
from transmamba_mm.engine.hooks.non_finite_loss_hook import NonFiniteLossHook
from transmamba_mm.engine.hooks.rerank_hook import RerankHook
from transmamba_mm.engine.hooks.save_hf_assets_hook import SaveHFAssetsHook
from transmamba_mm.engine.hooks.stage_hook import StageHook
from transmamba_mm.engine.hooks.transfer_report_hook import TransferReportHook

__all__ = [
    'CalibrationHook',
    'CheckpointHook',
    'CorruptSampleHook',
    'LabelRangeHook',
    'MeanLossHook',
    'NonFiniteLossHook',
    'RerankHook',
    'SaveHFAssetsHook',
    'StageHook',
    'TransferReportHook',
]
