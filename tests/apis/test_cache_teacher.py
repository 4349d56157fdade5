"""A teacher's outputs on disk: training from them is training beside it."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

from tests.transfer.small_models import trained
from transmamba_mm.apis.cache_teacher import cache_teacher
from transmamba_mm.datasets.digits import Digits
from transmamba_mm.datasets.seeded_views import SeededViews
from transmamba_mm.errors import UserError
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import DATASETS, MODELS

FRACTION = 0.03
#: Images that it leaves.
COUNT = len(Digits('train', FRACTION))
CONFIG = 'configs/transmamba/vim-nano_deit-nano_digits.py'
FLIP = [
    {'type': 'RandomFlip', 'prob': 0.5, 'direction': 'horizontal'},
    {'type': 'PackInputs'},
]


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    init_default_scope('transmamba_mm')
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    teacher = trained(read_config(CONFIG).model.teacher.model)
    torch.save({'state_dict': teacher.state_dict()}, file)
    return str(file)


@pytest.fixture
def config(weights):
    def load(method=None, views=0, **options):
        cfg = read_config(CONFIG, options, method)
        cfg.model.teacher.checkpoint = weights
        cfg.data_preprocessor.batch_augments = None
        dataset = cfg.train_dataloader.dataset
        dataset.fraction = FRACTION
        if views:
            dataset.pipeline = FLIP
            cfg.train_dataloader.dataset = {
                'type': 'transmamba_mm.SeededViews',
                'dataset': dataset,
                'views': views,
            }
        return cfg

    return load


def build(cfg, cache=None):
    """The transfer of a config, initialized."""
    torch.manual_seed(1)
    teacher = {**cfg.model.teacher, **({'cache': str(cache)} if cache else {})}
    parts = {**cfg.model, 'teacher': teacher, 'data_preprocessor': cfg.data_preprocessor}
    model = MODELS.build(parts)
    model.init_weights()
    return model


def train(model, dataset, steps=3):
    """Logs of a few steps on the first samples."""
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    torch.manual_seed(2)
    np.random.seed(2)
    logs = []
    for step in range(steps):
        items = [dataset[i] for i in range(8 * step, 8 * step + 8)]
        logs.append(model.train_step(pseudo_collate(items), optimizer))
    return [{key: value.item() for key, value in log.items()} for log in logs]


@pytest.mark.parametrize('method', ['logits', 'wsab', 'no_layers', 'cab', 'lift'])
def test_training_from_the_cache_is_training_beside_the_teacher(method, config, tmp_path):
    cfg = config(method)
    contents = cache_teacher(cfg, tmp_path / 'cache', features=True, batch_size=10)
    assert (contents.num_samples, contents.views, contents.num_classes) == (COUNT, 1, 10)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    beside, alone = build(cfg), build(cfg, tmp_path / 'cache')
    assert all(p.is_meta for p in alone.teacher.model.parameters())  # no teacher in memory
    expected, found = train(beside, dataset), train(alone, dataset)
    for ours, theirs in zip(found, expected, strict=True):
        exact = method == 'logits'  # features are kept in half precision
        assert ours == (theirs if exact else pytest.approx(theirs, rel=2e-3, abs=2e-3))


def test_views_are_drawn_again_and_have_outputs_of_their_own(config, tmp_path):
    cfg = config('logits', views=3)
    contents = cache_teacher(cfg, tmp_path / 'cache')
    assert (contents.num_samples, contents.views) == (COUNT, 3)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[0] for _ in range(40)]
    views = {item['data_samples'].view: item['inputs'] for item in items}
    assert set(views) == {0, 1, 2}
    for item in items:
        assert torch.equal(item['inputs'], views[item['data_samples'].view])
    assert train(build(cfg, tmp_path / 'cache'), dataset) == train(build(cfg), dataset)


def test_sparse_labels_are_those_of_the_teacher_where_they_are_kept(config, tmp_path):
    cfg = config('logits')
    cache_teacher(cfg, tmp_path / 'cache', top_k=3, num_drawn=5)
    model, beside = build(cfg, tmp_path / 'cache'), build(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    data = model.data_preprocessor(pseudo_collate([dataset[i] for i in range(COUNT)]))
    kinds = model.distiller.teacher_kinds
    sparse = model.teacher.cache.read(data['inputs'], data['data_samples'], kinds, ()).logits
    images = beside.teacher.preprocess(data['inputs'], beside.data_preprocessor)
    kept, wanted = (logits.div(2.0).softmax(-1) for logits in (sparse, beside.teacher(images)))
    top, classes = wanted.topk(3)
    torch.testing.assert_close(kept.gather(1, classes), top)
    torch.testing.assert_close(kept.sum(-1), torch.ones(COUNT))
    assert (torch.isfinite(torch.tensor(list(train(model, dataset)[-1].values())))).all()


def test_other_images_are_refused(config, tmp_path):
    cfg = config('logits')
    cache_teacher(cfg, tmp_path / 'cache')
    model = build(cfg, tmp_path / 'cache')
    cfg.train_dataloader.dataset.seed = 1
    with pytest.raises(UserError, match=r'Sample 0, view 0 .*teacher\.cache'):
        train(model, DATASETS.build(cfg.train_dataloader.dataset))
    cfg.train_dataloader.dataset.fraction = 0.5
    many = DATASETS.build(cfg.train_dataloader.dataset)
    with pytest.raises(UserError, match=rf'{COUNT} samples with 1 views, .*sample_idx={COUNT}'):
        model.train_step(
            pseudo_collate([many[COUNT]]), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        )


def test_what_was_cached_otherwise_is_refused(config, tmp_path):
    folder = tmp_path / 'cache'
    with pytest.raises(UserError, match=r'teacher.cache=.* holds no complete cache'):
        build(config('logits'), folder)
    cache_teacher(config('logits'), folder, top_k=2)
    with pytest.raises(UserError, match=r'temperature 2.0, but LogitsDistiller compares at 3'):
        build(config('logits', **{'model.distiller.temperature': 3.0}), folder)
    with pytest.raises(UserError, match=r'no layer_features, which WSAB compares.*--features'):
        build(config(), folder)
    cfg = config('logits')
    cfg.model.teacher.mean, cfg.model.teacher.std = [1.0], [2.0]
    with pytest.raises(UserError, match=r'teacher.mean=\[77.9\], not \[1.0\]'):
        build(cfg, folder)
    with pytest.raises(UserError, match='a cache already'):
        cache_teacher(config('logits'), folder)


@pytest.mark.parametrize(
    ('change', 'arguments', 'message'),
    [
        (lambda cfg: None, {}, 'compares layer_features, .*--features'),
        (lambda cfg: cfg.train_dataloader.dataset.update(pipeline=FLIP), {}, 'SeededViews'),
        (
            lambda cfg: cfg.data_preprocessor.update(
                batch_augments={'augments': {'type': 'Mixup', 'alpha': 1.0}}
            ),
            {},
            'batch_augments',
        ),
        (lambda cfg: None, {'features': True, 'top_k': 10}, 'top_k=10 .*10 classes'),
        (lambda cfg: None, {'features': True, 'top_k': 0}, 'top_k=0'),
    ],
    ids=['features', 'random', 'mixing', 'all', 'none'],
)
def test_what_cannot_be_cached(change, arguments, message, config, tmp_path):
    cfg = config()
    change(cfg)
    with pytest.raises(UserError, match=message):
        cache_teacher(cfg, tmp_path / 'cache', **arguments)


def test_views_do_not_disturb_the_stream_of_others(config):
    dataset = DATASETS.build(config('logits', views=2).train_dataloader.dataset)
    assert (
        isinstance(dataset, SeededViews) and dataset.metainfo['classes'] and len(dataset) == COUNT
    )
    dataset.view = 1
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    dataset[3]
    assert torch.equal(torch.rand(1), expected)
