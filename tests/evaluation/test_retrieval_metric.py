"""RetrievalRecall: from samples to numbers, missing and repeated videos, padding, errors."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch.nn.functional import normalize

from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import RetrievalRecall
from transmamba_mm.evaluation.retrieval import rank_metrics


def sample(video_id: int | str, **fields: object) -> DataSample:
    result = DataSample()
    result.set_field(video_id, 'video_id')
    for name, value in fields.items():
        result.set_field(value, name)
    return result


def scores(samples: list[DataSample], **options) -> dict[str, float]:
    init_default_scope('transmamba_mm')
    evaluator = Evaluator({'type': 'RetrievalRecall', **options})
    evaluator.process(samples[:2])
    evaluator.process(samples[2:])
    return evaluator.evaluate(len(samples))


@pytest.fixture
def samples() -> list[DataSample]:
    """Twelve videos of one to three texts in random places."""
    generator = torch.Generator().manual_seed(0)
    return [
        sample(
            f'v{i}',
            video_embedding=normalize(torch.randn(8, generator=generator), dim=0),
            text_embeddings=normalize(torch.randn(1 + i % 3, 8, generator=generator), dim=1),
        )
        for i in range(12)
    ]


def test_equal_to_the_matrix_of_all(samples):
    videos = torch.stack([part.video_embedding for part in samples])
    texts = torch.cat([part.text_embeddings for part in samples])
    owner = torch.tensor([i for i in range(12) for _ in range(1 + i % 3)])
    expected = rank_metrics(texts @ videos.T, owner)
    assert scores(samples) == {
        f'retrieval/{name}': pytest.approx(value) for name, value in expected.items()
    }
    assert scores(samples[::-1]) == pytest.approx(scores(samples))


def test_collapsed_model_recalls_nothing(samples):
    """All embeddings equal: no rounding of a kernel may make one of them the best."""
    same = normalize(torch.rand(300), dim=0)
    collapsed = [
        sample(i, video_embedding=same, text_embeddings=same.expand(3, -1)) for i in range(37)
    ]
    values = scores(collapsed)
    assert values['retrieval/t2v_R10'] == values['retrieval/v2t_R10'] == 0
    assert values['retrieval/t2v_MdR'] == values['retrieval/v2t_MnR'] == 37


def test_missing_videos_are_refused_unless_allowed(samples):
    broken = [*samples, sample('gone', is_missing=True)]
    with pytest.raises(UserError, match=r'1 of 13 videos are missing \(the first: gone\)'):
        scores(broken)
    values = scores(broken, allow_missing=True)
    assert values.pop('retrieval/missing') == 1
    assert values == scores(samples)


def test_embeddings_of_a_hole_are_not_read(samples):
    samples[0].set_field(True, 'is_missing')
    samples[0].video_embedding.fill_(torch.nan)
    assert scores(samples, allow_missing=True)['retrieval/missing'] == 1


def test_nothing_but_holes():
    with pytest.raises(UserError, match='Every video is missing'):
        scores([sample(i, is_missing=True) for i in range(3)], allow_missing=True)


def test_no_holes_are_reported_where_they_are_allowed(samples):
    assert scores(samples, allow_missing=True)['retrieval/missing'] == 0


def test_video_twice(samples):
    with pytest.raises(UserError, match='Video v3 was evaluated more than once'):
        scores([*samples, samples[3]])


def test_padding_of_a_distributed_sampler_is_dropped(samples):
    metric = RetrievalRecall()
    metric.process(None, [part.to_dict() for part in [*samples, samples[0]]])
    padded = metric.evaluate(size=12)
    assert padded == scores(samples)


def test_nan(samples):
    samples[5].video_embedding[3] = torch.nan
    with pytest.raises(UserError, match='the model has diverged'):
        scores(samples)


@pytest.mark.parametrize(
    ('fields', 'cause'),
    [
        ({'video_id': None}, 'needs video_id'),
        ({'video_id': 1, 'video_embedding': torch.zeros(3)}, 'text_embeddings in every sample'),
        (
            {
                'video_id': 7,
                'video_embedding': torch.zeros(3),
                'text_embeddings': torch.zeros(2, 4),
            },
            r'Video 7 has embeddings of shapes \(3,\) and \(2, 4\)',
        ),
    ],
)
def test_samples_that_cannot_be_scored(fields, cause):
    with pytest.raises(UserError, match=cause):
        RetrievalRecall().process(None, [fields])
