"""The re-ranker: there only when asked for, blind to padding, and better than two towers alone."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.models.retrieval.small_retrieval import (
    CAPTIONS,
    CLIP_VISION,
    VIDEO_MAMBA,
    VIM,
    VMAMBA,
    build,
    clips,
    samples,
)
from tests.two_processes import on_two_processes
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import RetrievalRecall

MAPS = {'vision': {**VIM, 'out_type': 'featmap'}}
BACKBONES = {
    'vim': MAPS,
    'vmamba': {'vision': VMAMBA},
    'videomamba': {'vision': {**VIDEO_MAMBA, 'out_type': 'featmap'}},
    'clip-vision': {'vision': {'type': 'ClipVision', 'config': CLIP_VISION}},
}
every_backbone = pytest.mark.parametrize('arguments', BACKBONES.values(), ids=BACKBONES)


def test_without_it_nothing_is_there():
    plain, asked = build(**MAPS), build(**MAPS, rerank={'top_k': 3})
    assert plain.reranker is None
    added = asked.state_dict().keys() - plain.state_dict().keys()
    assert added and all(name.startswith('reranker.') for name in added)
    asked.load_state_dict(plain.state_dict(), strict=False)
    batch = samples(CAPTIONS)
    assert set(plain(clips(), batch, mode='loss')) == {'loss'}
    losses = asked(clips(), batch, mode='loss')
    assert set(losses) == {'loss', 'loss_match'}
    torch.testing.assert_close(losses['loss'], plain(clips(), batch, mode='loss')['loss'])
    torch.testing.assert_close(asked(clips(), batch), plain(clips(), batch))
    assert 'patches' not in plain(clips(), batch, mode='predict')[0]


@every_backbone
@torch.no_grad()
def test_alone_is_as_among_others(arguments):
    """Padding of texts does not leak, nor do other pairs."""
    model = build(**arguments, rerank={})
    model.reranker.cross_mamba.text_proj.weight.mul_(100)  # a new one hardly listens
    found = [sample.patches for sample in model(clips(), samples(CAPTIONS), mode='predict')]
    assert all(patches.dtype == torch.float16 for patches in found)
    together = model.match(found, CAPTIONS)
    alone = torch.cat([model.match([found[i]], [CAPTIONS[i]]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    turned = model.match(found, CAPTIONS[::-1])
    assert (together - turned).abs().max() > 1e-3
    many = model.match(found * 40, CAPTIONS * 40)
    torch.testing.assert_close(many, together.repeat(40), atol=1e-5, rtol=1e-4)
    assert model.match([], []).shape == (0,)


@torch.no_grad()
def test_padding_frames_are_ignored():
    model = build(**MAPS, rerank={'grid': 1})
    short, padded = clips(2, frames=3), clips(2, frames=5, seed=2)
    padded[0, :, :3] = short[0]
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    (first, whole) = model.patches(model.encode_frames(padded), mask)
    (expected, _) = model.patches(model.encode_frames(short), None)
    assert (len(first), len(whole)) == (3, 5)
    torch.testing.assert_close(first, expected)
    scores = model.match([first, whole, first], ['a', 'a', 'b'])  # of two lengths, in one call
    torch.testing.assert_close(scores[:1], model.match([expected], ['a']))
    torch.testing.assert_close(scores[1:2], model.match([whole], ['a']))
    # A video without any real frame still has a score.
    assert (
        len(model.patches(model.encode_frames(short), torch.zeros(2, 3, dtype=torch.bool))[0]) == 3
    )


@torch.no_grad()
def test_patches_are_averaged_to_the_grid():
    every, few = (build(**{'vision': VMAMBA}, rerank={'grid': grid}) for grid in (None, 2))
    large = torch.randn(1, 3, 2, 64, 64)
    maps = every.encode_frames(large)
    assert len(every.patches(maps, None)[0]) == maps.shape[1] * maps.shape[3] * maps.shape[4]
    (tokens,) = few.patches(few.encode_frames(large), None)
    assert tokens.shape == (2 * 2 * 2, maps.shape[2])
    torch.testing.assert_close(tokens.mean(0), few.encode_frames(large).mean((0, 1, 3, 4)))


@every_backbone
@pytest.mark.parametrize('fusion', ['state', 'parameters'])
def test_gradients_reach_both_sides(arguments, fusion):
    model = build(**arguments, rerank={'fusion': fusion}).train()
    model(clips(), samples(CAPTIONS), mode='loss')['loss_match'].backward()
    for part in (model.vision, model.text, model.reranker):
        grads = [p.grad for p in part.parameters() if p.requires_grad and p.grad is not None]
        assert sum(grad.abs().sum() for grad in grads) > 0
    unused = {n for n, p in model.reranker.named_parameters() if p.grad is None}
    step_sizes = {f'cross_mamba.text.{name}' for name in ('dt_proj', 'dt_bias')}
    assert unused == (step_sizes if fusion == 'parameters' else set())


def test_hardest_wrong_partners_are_the_negatives():
    model = build(**MAPS, rerank={})
    asked = []
    model.reranker.register_forward_pre_hook(lambda _, inputs: asked.append(inputs))
    similarity = torch.tensor([[1.0, 5, 0, 2], [3, 1, 9, 4], [0, 0, 1, 0], [8, 1, 0, 1]])
    together = torch.eye(4, dtype=torch.bool)
    together[1, 2] = together[2, 1] = True
    patches = [torch.full((2, 16), float(i)) for i in range(4)]
    words = torch.arange(4.0).view(4, 1, 1).expand(4, 3, 12)
    model.reranker.loss(patches, words, torch.ones(4, 3), similarity, together)
    ((videos, texts, _),) = asked
    pairs = [(int(t[0, 0]), int(v[0, 0])) for t, v in zip(texts, videos, strict=True)]
    assert pairs == [
        *[(i, i) for i in range(4)],
        *[(0, 1), (1, 3), (2, 0), (3, 0)],  # (1, 2) is nearer, but fits
        *[(3, 0), (0, 1), (0, 2), (1, 3)],
    ]
    # Where all fit, there are no wrong ones.
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert model.reranker.loss(patches, words, torch.ones(4, 3), similarity, everything) > 0
    assert len(asked[1][0]) == 4


def test_learns_what_two_towers_cannot():
    """In a space of one dimension all cosines are 1 or -1; the re-ranker reads the patches."""
    model = build(**MAPS, embed_dims=1, rerank={'top_k': 4}).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    pictures, texts = clips(frames=2), ['a seven moves left', 'the digit one', 'two', 'b right']
    torch.manual_seed(0)
    for _ in range(120):
        order = torch.randperm(4)
        batch = samples([texts[i] for i in order])
        losses = model(pictures[order], batch, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    found = model.eval()(pictures, samples(texts, video_id=list('abcd')), mode='predict')
    metric = RetrievalRecall()
    metric.matcher = model.match
    metric.process(None, [sample.to_dict() for sample in found])
    values = metric.evaluate(4)
    for direction in ('t2v', 'v2t'):
        assert values[f'retrieval/{direction}_R1'] <= 50
        assert values[f'retrieval/reranked_{direction}_R1'] == 100


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if name.startswith('reranker.')}


def half(rank):
    return clips()[2 * rank : 2 * rank + 2], samples(CAPTIONS[2 * rank : 2 * rank + 2])


def step(rank):
    """Half of the batch, twice: DDP would refuse the second step after unused parameters."""
    model = DistributedDataParallel(build(**MAPS, rerank={}).train())
    for _ in range(2):
        model.zero_grad()
        sum(model(*half(rank), mode='loss').values()).backward()
    return gradients(model.module)


def test_two_processes_average_their_pairs(tmp_path):
    found = on_two_processes(step, tmp_path)
    model = build(**MAPS, rerank={}).train()
    for rank in range(2):
        (model(*half(rank), mode='loss')['loss_match'] / 2).backward()
    for theirs in found:
        for name, grad in gradients(model).items():
            torch.testing.assert_close(theirs[name], grad, atol=1e-6, rtol=1e-3)


def test_what_it_refuses():
    with pytest.raises(UserError, match="out_type='cls_token'"):
        build(rerank={})
    with pytest.raises(UserError, match='top_k=0'):
        build(**MAPS, rerank={'top_k': 0})
    with pytest.raises(UserError, match='fusion'):
        build(**MAPS, rerank={'fusion': 'sum'})
    with pytest.raises(UserError, match='rerank=3 is no config'):
        build(**MAPS, rerank=3)
