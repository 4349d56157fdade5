import pytest
import torch

from transmamba_mm.distillers.label_losses import soft_label_loss
from transmamba_mm.transfer.sparse_labels import SparseLabels, sparsify, to_logits


def kept(labels, num_classes):
    """The distribution that sparse labels stand for."""
    zeros = torch.zeros(len(labels.classes), num_classes)
    return zeros.scatter_add(1, labels.classes, labels.probabilities)


def test_the_largest_are_exact_and_the_rest_is_shared():
    logits = torch.tensor([[8.0, 1, 2, 4, 1]]).log() * 2  # at T = 2: 8, 1, 2, 4, 1 of 16
    labels = sparsify(logits, 2.0, top_k=2, num_samples=4)
    assert labels.classes[0, :2].tolist() == [0, 3]
    torch.testing.assert_close(labels.probabilities[0], torch.tensor([8, 4, 1, 1, 1, 1]) / 16)
    assert set(labels.classes[0, 2:].tolist()) <= {1, 2, 4}


def test_the_expectation_is_the_distribution():
    torch.manual_seed(0)
    logits = torch.randn(1, 12)
    many = sparsify(logits.expand(40000, -1), 1.5, top_k=3, num_samples=2)
    found = kept(many, 12).mean(dim=0)
    torch.testing.assert_close(found, (logits[0] / 1.5).softmax(-1), atol=2e-3, rtol=0)


def test_the_expected_gradient_of_soft_labels_is_exact():
    torch.manual_seed(0)
    teacher, student = torch.randn(2, 1, 10).unbind()

    def gradient(targets):
        x = student.expand(len(targets), -1).clone().requires_grad_()
        soft_label_loss(x, targets, 2.0).backward()
        return x.grad.sum(dim=0)  # the loss is a mean over the batch

    labels = sparsify(teacher.expand(40000, -1), 2.0, top_k=2, num_samples=1)
    found = gradient(to_logits(labels, 2.0, 10))
    torch.testing.assert_close(found, gradient(teacher), atol=5e-3, rtol=0)


def test_logits_of_it_give_it_back_and_finite_losses():
    labels = SparseLabels(torch.tensor([[3, 0, 0]]), torch.tensor([[0.5, 0.25, 0.25]]))
    logits = to_logits(labels, 4.0, 6)
    torch.testing.assert_close((logits / 4).softmax(-1), torch.tensor([[0.5, 0, 0, 0.5, 0, 0]]))
    student = torch.randn(1, 6, requires_grad=True)
    loss = soft_label_loss(student, logits, 4.0)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize('sure', [30.0, 300.0])
def test_a_teacher_that_leaves_nothing_to_the_others(sure):
    logits = torch.tensor([[sure, 0.0, 0, 0], [0.0, sure, 0, 0]])
    labels = sparsify(logits, 1.0, top_k=1, num_samples=3)
    assert torch.isfinite(labels.probabilities).all()
    torch.testing.assert_close(labels.probabilities.sum(-1), torch.ones(2))
