"""rank_metrics: equal to CLIP4Clip's numbers without ties, to a plain loop with them; errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.golden import Golden
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import RetrievalRecall
from transmamba_mm.evaluation.retrieval import RECALLS, attribute_recall, rank_metrics, ranks

NAMES = {'R1': 'R1', 'R5': 'R5', 'R10': 'R10', 'MdR': 'MedianR', 'MnR': 'MeanR'}
GOLDEN = Golden('clip4clip_metrics')


def official(case: str) -> dict[str, float]:
    """CLIP4Clip's printed metrics for a matrix."""
    return {
        f'{direction}_{ours}': float(GOLDEN.file[f'out/{case}/{direction}/{theirs}'])
        for direction in ('t2v', 'v2t')
        for ours, theirs in NAMES.items()
    }


def square(case: str) -> dict[str, float]:
    similarity = torch.from_numpy(GOLDEN.file[f'in/{case}'])
    return rank_metrics(similarity, torch.arange(len(similarity)))


@pytest.mark.parametrize('case', ['n20', 'n100', 'n100_f32'])
def test_equal_to_clip4clip_without_ties(case):
    assert square(case) == pytest.approx(official(case), rel=1e-12)


def test_several_texts_of_a_video_as_in_clip4clip():
    padded = torch.from_numpy(GOLDEN.file['in/multi_sentence_zero_padded'])  # (video, text, video)
    counts = torch.from_numpy(GOLDEN.file['in/multi_sentence_counts'])
    rows = torch.cat([texts[:count] for texts, count in zip(padded, counts, strict=True)])
    owner = torch.arange(len(counts)).repeat_interleave(counts)
    # CLIP4Clip's percentages of texts are float32.
    assert rank_metrics(rows, owner) == pytest.approx(official('multi_sentence'), rel=1e-6)


@pytest.mark.parametrize(
    ('case', 'direction', 'ours', 'theirs'),
    [
        # Nothing was learned: 20 points of R@1 for that. (Ten of five is everything.)
        ('n5_all_equal', 't2v', (0, 100, 100), (20, 100, 100)),
        # R@10 is inflated by 11 points, R@1 is lowered by 3: ties are more queries at later ranks.
        ('n20_ties', 'v2t', (15, 60, 80), (11.94, 50.75, 91.04)),
        ('n20_ties', 't2v', (20, 55, 85), (9.68, 50, 83.87)),
        ('n100_ties', 't2v', (17, 34, 57), (3.23, 15.66, 30.06)),
        ('n100_ties', 'v2t', (14, 34, 60), (3.28, 16.58, 31.25)),
    ],
)
def test_ties_beside_what_clip4clip_makes_of_them(case, direction, ours, theirs):
    """It counts every column that ties with the true one as one more query, at a rank of its own.

    That is no recall of the queries that were asked: it inflates what a model without an opinion
    gets, and can lower what one with an opinion gets.
    """
    for values, expected in ((square(case), ours), (official(case), theirs)):
        measured = [values[f'{direction}_R{k}'] for k in RECALLS]
        assert measured == pytest.approx(list(expected), abs=0.005)


@pytest.mark.parametrize('case', ['n20_ties', 'n100_ties', 'n5_all_equal'])
def test_ties_are_never_better_than_any_order_of_them(case):
    """The rule is the worst of all ways to break ties; breaking them at random does not hurt."""
    similarity = torch.from_numpy(GOLDEN.file[f'in/{case}']).double()
    worst = square(case)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        noise = 1e-9 * torch.rand(similarity.shape, generator=generator, dtype=torch.float64)
        broken = rank_metrics(similarity + noise, torch.arange(len(similarity)))
        assert all(broken[key] >= worst[key] for key in worst if '_R' in key)
        assert broken['t2v_MnR'] < worst['t2v_MnR']


def by_loops(similarity: list[list[float]], owner: list[int]) -> tuple[list[int], list[int]]:
    """Ranks of texts and of videos, as the docstring words them."""
    n_video = len(similarity[0])
    t2v = [
        1 + sum(row[j] >= row[own] for j in range(n_video) if j != own)
        for row, own in zip(similarity, owner, strict=True)
    ]
    v2t = []
    for video in sorted(set(owner)):
        best: dict[int, float] = {}
        for row, own in zip(similarity, owner, strict=True):
            best[own] = max(best.get(own, row[video]), row[video])
        v2t.append(1 + sum(best[j] >= best[video] for j in best if j != video))
    return t2v, v2t


@st.composite
def problems(draw) -> tuple[Tensor, Tensor]:
    """A similarity with many ties, infinities and videos without texts."""
    n_text, n_video = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    score = st.sampled_from([-1.0, 0.0, 0.5, 1.0, float('inf'), -float('inf')])
    rows = st.lists(
        st.lists(score, min_size=n_video, max_size=n_video), min_size=n_text, max_size=n_text
    )
    owner = st.lists(st.integers(0, n_video - 1), min_size=n_text, max_size=n_text)
    return torch.tensor(draw(rows)), torch.tensor(draw(owner))


@settings(deadline=None, max_examples=200)
@given(problems(), st.integers(1, 4))
def test_ranks_equal_a_plain_loop_in_blocks_of_any_size(problem, rows):
    similarity, owner = problem
    t2v, v2t = ranks(similarity.split(rows), owner, similarity.shape[1])
    assert (t2v.tolist(), v2t.tolist()) == by_loops(similarity.tolist(), owner.tolist())


@settings(deadline=None, max_examples=100)
@given(problems(), st.randoms(use_true_random=False))
def test_order_of_texts_and_videos_does_not_matter(problem, random):
    similarity, owner = problem
    texts = torch.tensor(random.sample(range(len(owner)), len(owner)))
    videos = torch.tensor(random.sample(range(similarity.shape[1]), similarity.shape[1]))
    shuffled = rank_metrics(similarity[texts][:, videos], videos.argsort()[owner[texts]])
    assert shuffled == pytest.approx(rank_metrics(similarity, owner))


@settings(deadline=None, max_examples=50)
@given(st.integers(11, 30), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_perfect_worst_and_constant(n_video, texts_each, seed):
    noise = torch.rand(n_video * texts_each, n_video, generator=torch.Generator().manual_seed(seed))
    owner = torch.arange(n_video).repeat(texts_each)
    true = torch.eye(n_video).repeat(texts_each, 1)
    perfect = rank_metrics(noise + 2 * true, owner)
    assert perfect == {
        f'{way}_{name}': 100 if name[1:].isdigit() else 1
        for way in ('t2v', 'v2t')
        for name in NAMES
    }
    nothing = {
        f'{way}_{name}': 0 if name[1:].isdigit() else n_video
        for way in ('t2v', 'v2t')
        for name in NAMES
    }
    assert rank_metrics(noise - 2 * true, owner) == nothing
    assert rank_metrics(torch.full_like(noise, 0.3), owner) == nothing


def test_median_of_an_even_number_of_queries_is_between_the_two():
    similarity = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    values = rank_metrics(similarity, torch.arange(2))
    assert values['t2v_MdR'] == values['t2v_MnR'] == 1.5


def test_nan_is_refused():
    similarity = torch.eye(3)
    similarity[1, 2] = torch.nan
    with pytest.raises(UserError, match='text 1 is the first'):
        rank_metrics(similarity, torch.arange(3))


@pytest.mark.parametrize(
    ('shape', 'owner', 'cause'),
    [
        ((2, 3), [0, 3], r'a video in 0\.\.2'),
        ((2, 3), [0, -1], r'a video in 0\.\.2'),
        ((2, 3), [0, 1, 2], '2 rows of similarities for 3 texts'),
        ((3, 3), [0, 1], r'shape \(3, 3\) do not fit 2 texts'),
        ((0, 3), [], 'at least one text'),
    ],
)
def test_what_does_not_fit(shape, owner, cause):
    with pytest.raises(UserError, match=cause):
        rank_metrics(torch.zeros(shape), torch.tensor(owner, dtype=torch.long))


def test_what_is_reported_is_what_it_is_called():
    reported = rank_metrics(torch.eye(3), torch.arange(3))
    assert tuple(reported) == RetrievalRecall.NAMES[: len(reported)]


def test_recall_of_attributes_by_hand():
    shown = [{'who': 'a', 'how': 'x'}, {'who': 'a', 'how': 'y'}, {'who': 'b', 'how': 'y'}]
    wanted = [shown[0], shown[1], shown[2], shown[2]]
    similarity = torch.tensor(
        [[0.1, 0.9, 0.0], [0.2, 0.1, 0.3], [0.0, 0.1, 0.9], [0.5, 0.2, 0.4]]
    )  # the first videos are 1, 2, 2, 0
    assert attribute_recall(similarity, wanted, shown) == {'who': 50.0, 'how': 50.0}
    tied = torch.zeros(4, 3)
    assert attribute_recall(tied, wanted, shown) == {'who': 0.0, 'how': 0.0}
    assert attribute_recall(similarity, [{}] * 4, [{}] * 3) == {}


def test_an_attribute_that_all_videos_share_is_always_right():
    similarity = torch.zeros(2, 2)
    assert attribute_recall(similarity, [{'a': 'x'}] * 2, [{'a': 'x'}] * 2) == {'a': 100.0}
