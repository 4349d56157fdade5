"""The configs of MSR-VTT and DiDeMo make batches of small data in their layouts."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from tests.datasets.retrieval.layouts import write_didemo, write_msrvtt
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import METRICS, MODELS

CONFIGS = Path(__file__).parents[3] / 'configs/_base_/datasets'
WRITE = {'msrvtt': write_msrvtt, 'didemo': write_didemo}


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
@pytest.mark.parametrize('name', WRITE)
def test_config_makes_batches(tmp_path, name, phase):
    init_default_scope('transmamba_mm')
    config = read_config(CONFIGS / f'{name}.py')
    config[f'{phase}_dataloader'].dataset.data_root = str(WRITE[name](tmp_path))
    preflight(config, [phase])
    here = {'num_workers': 0, 'persistent_workers': False, 'batch_size': 2}
    loader = Runner.build_dataloader({**config[f'{phase}_dataloader'], **here}, seed=0)
    batch = next(iter(loader))
    size = len(batch['inputs'])
    data = MODELS.build(config.data_preprocessor)(batch)
    assert data['inputs'].shape == (size, 3, 12, 224, 224)
    sample = data['data_samples'][0]
    assert isinstance(sample.text, str if phase == 'train' else list)
    assert sample.frame_mask.tolist() == [True] + [False] * 11  # six frames at 8 fps: one a second
    METRICS.build(config.val_evaluator)
