"""Losses of a student's logits."""

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


def enhanced_label_loss(student: Tensor, teacher: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """``-sum_c ((p_c + y_c)^gamma - y_c) * log q_c`` (OFA-KD, arXiv 2310.19444).

    With p the teacher's distribution, q the student's and y one-hot labels. It is the cross entropy
    with soft labels for gamma = 1; a larger one strengthens the true class where the teacher is
    sure of it, and weakens the others.

    Args:
        student, teacher (Tensor): Logits (B, classes).
        labels (Tensor): Classes (B,).
        gamma (float): Not below 1.

    Returns:
        Tensor: A scalar, the mean over the batch, in float32.
    """
    truth = F.one_hot(labels, teacher.shape[-1])
    targets = (teacher.float().softmax(dim=-1) + truth) ** gamma - truth
    return -(targets * F.log_softmax(student.float(), dim=-1)).sum(dim=-1).mean()
