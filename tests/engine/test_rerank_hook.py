"""RerankHook in a real Runner: a test reports what the re-ranker makes of its numbers."""

import pytest
from mmengine.runner import Runner
from torch.utils.data import Dataset

from tests.models.retrieval.small_retrieval import CAPTIONS, VIM, build, clips, samples
from transmamba_mm.errors import UserError

MAPS = {'vision': {**VIM, 'out_type': 'featmap'}}


class Clips(Dataset):
    """Four videos with a caption each."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        (sample,) = samples([CAPTIONS[index]], video_id=[index])
        return {'inputs': clips()[index], 'data_samples': sample}


def run(tmp_path, model, **hook):
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        test_dataloader={
            'batch_size': 3,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': Clips(),
        },
        test_cfg={},
        test_evaluator={'type': 'RetrievalRecall'},
        custom_hooks=[{'type': 'RerankHook', **hook}],
        default_scope='transmamba_mm',
        experiment_name=str(tmp_path).replace('/', '_'),
    )
    return runner.test(), runner


def test_both_numbers_are_reported(tmp_path):
    model = build(**MAPS, rerank={'top_k': 4})
    values, _ = run(tmp_path, model)
    plain = {name for name in values if 'reranked' not in name}
    assert {f'retrieval/reranked_{name.partition("/")[2]}' for name in plain} == (
        values.keys() - plain
    )
    found = model(clips(), samples(CAPTIONS), mode='predict')
    scores = [model.match([sample.patches] * 4, CAPTIONS) for sample in found]
    ranks = [int((row >= row[i]).sum()) for i, row in enumerate(scores)]  # of texts for each video
    assert values['retrieval/reranked_v2t_MnR'] == pytest.approx(sum(ranks) / 4)


def test_its_top_k_stands_above_the_model_s(tmp_path):
    values, runner = run(tmp_path, build(**MAPS, rerank={'top_k': 4}), top_k=1)
    assert runner.test_evaluator.metrics[0].top_k == 1
    # The nearest one alone has no other place to go.
    assert values['retrieval/reranked_t2v_R1'] == values['retrieval/t2v_R1']


def test_a_model_without_one_is_refused(tmp_path):
    with pytest.raises(UserError, match='RerankHook needs a model with a re-ranker'):
        run(tmp_path, build(**MAPS))
