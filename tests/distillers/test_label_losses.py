import math

import torch
import torch.nn.functional as F

from transmamba_mm.distillers.label_losses import hard_label_loss, soft_label_loss


def test_soft_labels_by_hand():
    # at T = 2 the logits (2 ln 3, 0) become (ln 3, 0): probabilities 3/4 and 1/4, against 1/2, 1/2
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    student = torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    torch.testing.assert_close(soft_label_loss(student, teacher, 2), torch.tensor(expected))


def test_soft_labels_vanish_where_the_student_agrees():
    logits = torch.randn(4, 10)
    assert soft_label_loss(logits, logits + 3, 2).abs() < 1e-6  # a constant changes no softmax


def test_soft_labels_gradient_keeps_its_size_with_temperature():
    student = torch.randn(8, 10) * 0.1
    teacher = torch.randn(8, 10) * 0.1

    def gradient(temperature):
        x = student.clone().requires_grad_()
        soft_label_loss(x, teacher, temperature).backward()
        return x.grad

    torch.testing.assert_close(gradient(10.0), gradient(20.0), rtol=0.05, atol=1e-4)


def test_hard_labels_are_the_decision_of_the_teacher():
    student = torch.randn(3, 4)
    teacher = F.one_hot(torch.tensor([2, 0, 3]), 4) * 7.0
    expected = F.cross_entropy(student, torch.tensor([2, 0, 3]))
    torch.testing.assert_close(hard_label_loss(student, teacher), expected)
