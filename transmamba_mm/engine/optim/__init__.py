from transmamba_mm.engine.optim.cpu_amp_optim_wrapper import CpuAmpOptimWrapper
from transmamba_mm.engine.optim.selective_decay import SelectiveDecayOptimWrapperConstructor

__all__ = ['CpuAmpOptimWrapper', 'SelectiveDecayOptimWrapperConstructor']
