"""Re-ranking: a new order of the nearest, and of nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.structures import DataSample
from torch.nn.functional import normalize

from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import RetrievalRecall
from transmamba_mm.evaluation.reranking import rerank
from transmamba_mm.evaluation.retrieval import rank_metrics


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5), st.integers(1, 9), st.integers(1, 10), st.integers(2, 50), st.integers(0, 99)
)
def test_only_the_nearest_change_places(n, m, top_k, grades, seed):
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randint(grades, (n, m), generator=generator) / grades  # with ties
    scores = torch.randint(grades, (n, m), generator=generator) / grades
    asked = []

    def match(rows, columns):
        asked.extend(zip(rows.tolist(), columns.tolist(), strict=True))
        return scores[rows, columns]

    ordered = rerank(similarity, top_k, match)
    for row in range(n):
        inside = [column for r, column in asked if r == row]
        others = [column for column in range(m) if column not in inside]
        assert len(set(inside)) == len(inside) <= top_k
        if top_k >= m:
            assert not others
        assert ordered[row, others].equal(similarity[row, others])
        for a in inside:
            assert all(similarity[row, a] > similarity[row, b] for b in others)
            assert all(ordered[row, a] > ordered[row, b] for b in others)
            for b in inside:
                assert (ordered[row, a] > ordered[row, b]) == (scores[row, a] > scores[row, b])
        if others and len(inside) < top_k:  # the next one ties with one too many
            rest = similarity[row, others].sort(descending=True).values
            assert rest[0] == rest[top_k - len(inside)]


def test_a_collapsed_model_gains_nothing():
    def knows(rows, columns):
        return (rows == columns).float()

    own = torch.arange(8)
    assert rank_metrics(rerank(torch.ones(8, 8), 3, knows), own)['t2v_R5'] == 0
    assert rank_metrics(rerank(torch.ones(8, 8), 8, knows), own)['t2v_R1'] == 100
    # And a re-ranker that has collapsed loses the towers' ranking.
    nothing = rerank(torch.eye(8), 8, lambda rows, columns: torch.zeros(len(rows)))
    assert rank_metrics(nothing, own)['t2v_MnR'] == 8


def test_a_re_ranker_that_has_diverged_is_refused():
    with pytest.raises(UserError, match='Matching scores are NaN'):
        rerank(torch.eye(3), 2, lambda rows, columns: torch.full((len(rows),), torch.nan))


def sample(video_id, **fields):
    made = DataSample()
    for name, value in {'video_id': video_id, **fields}.items():
        made.set_field(value, name)
    return made.to_dict()


def test_a_perfect_reranker_finds_the_match_among_the_nearest():
    """Patches hold the number of their video, and texts name it: every pair is known."""
    asked = []

    def match(patches, texts):
        asked.extend(texts)
        numbers = [float(text.split()[0]) for text in texts]
        return torch.tensor([float(own[0, 0]) for own in patches]).eq(torch.tensor(numbers)).float()

    metric = RetrievalRecall(allow_missing=True)
    metric.matcher, metric.top_k = match, 6
    generator = torch.Generator().manual_seed(0)
    owner = torch.tensor([i for i in range(12) for _ in range(1 + i % 2)])
    videos = normalize(torch.randn(12, 6, generator=generator), dim=1)
    texts = normalize(torch.randn(18, 6, generator=generator), dim=1)
    for i in range(12):
        fields = {
            'text': [f'{i} a', f'{i} b'] if i % 2 else f'{i}',
            'patches': torch.full((3, 4), float(i)).half(),
            'video_embedding': videos[i],
            'text_embeddings': texts[owner == i],
        }
        metric.process(None, [sample(i, **fields)])
    metric.process(None, [sample('gone', is_missing=True)])
    values = metric.evaluate(13)
    assert len(asked) == 18 * 6 + 12 * 6
    similarity = texts @ videos.T
    near = [own in row.topk(6).indices for own, row in zip(owner, similarity, strict=True)]
    assert values['retrieval/reranked_t2v_R1'] == pytest.approx(100 * sum(near) / 18)
    near = [i in owner[column.topk(6).indices] for i, column in enumerate(similarity.T)]
    assert values['retrieval/reranked_v2t_R1'] == pytest.approx(100 * sum(near) / 12)
    assert values['retrieval/t2v_R1'] < values['retrieval/reranked_t2v_R1'] < 100
    assert values['retrieval/t2v_R1'] == rank_metrics(similarity, owner)['t2v_R1']
