from transmamba_mm.transfer.subcloning.report import TransferLine, TransferReport
from transmamba_mm.transfer.subcloning.rules import TABLES, Axis, Clone, Keep, StudentTable
from transmamba_mm.transfer.subcloning.sides import TeacherWeights
from transmamba_mm.transfer.subcloning.weight_subcloning import WeightSubcloning

__all__ = [
    'TABLES',
    'Axis',
    'Clone',
    'Keep',
    'StudentTable',
    'TeacherWeights',
    'TransferLine',
    'TransferReport',
    'WeightSubcloning',
]
