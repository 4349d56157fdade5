"""What a student learns from a teacher's logits."""

import torch.nn.functional as F
from torch import Tensor


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 * KL(softmax(teacher / T) || softmax(student / T))`` (Hinton et al., arXiv 1503.02531).

    The factor keeps the gradient's size while T changes. Logits are (B, classes); the result is a
    scalar, the mean over the batch, in float32.
    """
    log_student = F.log_softmax(student.float() / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=-1)
    divergence = F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
    return temperature**2 * divergence


def hard_label_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy with the teacher's decision as the label (DeiT, arXiv 2012.12877, eq. 3)."""
    return F.cross_entropy(student.float(), teacher.argmax(dim=-1))
