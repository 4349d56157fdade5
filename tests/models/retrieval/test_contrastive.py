"""The contrastive loss: its targets, and one batch on two processes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.parallel import DistributedDataParallel

from tests.models.retrieval.small_retrieval import build, clips, samples
from tests.two_processes import on_two_processes
from transmamba_mm.models.retrieval.contrastive import contrastive_loss, positive_mask, sample_ids

TEXTS = ['a seven', 'the digit one moves', 'A  Seven', 'two', 'b', 'left then up']
VIDEOS = ['x', 'y', 'z', 'y', 'v', 'w']


def test_without_repeated_captions_it_is_clips_loss():
    similarity = torch.randn(5, 5)
    own = torch.arange(5)
    expected = (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2
    found = contrastive_loss(similarity, torch.eye(5, dtype=torch.bool))
    torch.testing.assert_close(found, expected)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=7))
def test_equal_captions_are_best_when_all_are_equally_near(labels):
    ids = torch.tensor(labels)[:, None]
    together = positive_mask(ids)
    # A matrix as good as can be is 0 among positives and far below elsewhere; nothing pushes it.
    similarity = torch.where(together, 0.0, -60.0).requires_grad_()
    contrastive_loss(similarity, together).backward()
    assert similarity.grad.abs().max() < 1e-6
    # With the diagonal as the only target there would be a push.
    if len(set(labels)) < len(labels):
        similarity.grad = None
        contrastive_loss(similarity, torch.eye(len(labels), dtype=torch.bool)).backward()
        assert similarity.grad.abs().max() > 1e-2


def test_who_belongs_together():
    cpu = torch.device('cpu')
    found = positive_mask(sample_ids(samples(TEXTS, video_id=VIDEOS), TEXTS, cpu))
    expected = torch.eye(6, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = True  # the same words
    expected[1, 3] = expected[3, 1] = True  # the same video
    assert found.equal(expected)
    ids = [4, 4, 5, 6, 7, 8]
    by_id = positive_mask(sample_ids(samples(TEXTS, caption_id=ids, video_id=VIDEOS), TEXTS, cpu))
    expected[0, 1] = expected[1, 0] = True
    assert by_id.equal(expected)
    # None is no id: samples without one have nothing in common.
    assert positive_mask(sample_ids(samples(TEXTS[:2]), TEXTS[:2], cpu)).equal(torch.eye(2).bool())


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


def step(rank):
    """Half of the batch."""
    half = slice(3 * rank, 3 * rank + 3)
    model = DistributedDataParallel(build().train())
    batch = samples(TEXTS[half], video_id=VIDEOS[half])
    loss = model(clips(6)[half], batch, mode='loss')['loss']
    loss.backward()
    return loss.detach(), gradients(model.module)


def test_two_processes_learn_as_from_one_big_batch(tmp_path):
    found = on_two_processes(step, tmp_path)
    model = build().train()
    loss = model(clips(6), samples(TEXTS, video_id=VIDEOS), mode='loss')['loss']
    loss.backward()
    for their_loss, theirs in found:
        torch.testing.assert_close(their_loss, loss.detach())
        for name, grad in gradients(model).items():
            assert grad.abs().max() > 0, name
            torch.testing.assert_close(
                theirs[name], grad, atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f'{n}: {m}'
            )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_gradients_are_finite_where_no_text_is_positive_for_another(dtype):
    similarity = (100 * torch.randn(4, 4, dtype=dtype)).requires_grad_()
    contrastive_loss(similarity, torch.eye(4, dtype=torch.bool)).backward()
    assert similarity.grad.isfinite().all()
