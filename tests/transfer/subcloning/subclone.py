"""Stage 1 between two real models, and what it did."""

from torch import nn

from tests.transfer.small_models import trained
from transmamba_mm.transfer.subcloning import TeacherWeights, WeightSubcloning


def subclone(student, teacher, **kwargs):
    """The student's weights before and after, the teacher's by canonical names, and the report."""
    student = student if isinstance(student, nn.Module) else trained(student)
    teacher = teacher if isinstance(teacher, nn.Module) else trained(teacher)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    report = WeightSubcloning(**kwargs).apply(student, teacher)
    return before, student.state_dict(), TeacherWeights.of(teacher, 'backbone').tensors, report


def lines_of(report):
    return {line.student: line for line in report.lines}
