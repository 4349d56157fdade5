"""Cache a teacher's outputs on the training data of a transfer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from transmamba_mm.checks import COUNT, check
from transmamba_mm.datasets.seeded_views import SeededViews
from transmamba_mm.errors import UserError
from transmamba_mm.models.towers import view_of
from transmamba_mm.random_states import seeded
from transmamba_mm.registry import DATASETS, MODELS
from transmamba_mm.transfer.cache_contents import CacheContents
from transmamba_mm.transfer.cache_writer import CacheWriter
from transmamba_mm.transfer.features.feature_reader import FeatureReader
from transmamba_mm.transfer.features.features import MODEL_KINDS, FeatureKind

#: Samples loaded twice to detect a random pipeline.
PROBES = 8


def cache_teacher(
    cfg: Config,
    out: str | Path,
    top_k: int | None = None,
    num_drawn: int = 16,
    features: bool = False,
    batch_size: int = 64,
    progress: Callable[[Iterable, int], Iterable] = lambda batches, total: batches,
) -> CacheContents:
    """Run the teacher once on every sample, or view of one, and keep what the distiller compares.

    Args:
        cfg (Config): Of the transfer of a classifier, with the distiller that is to read the cache.
        out (str | Path): Folder to write.
        top_k (int, optional): Classes of the soft labels to keep exactly; of the others
            ``num_drawn`` are drawn, see :func:`~transmamba_mm.transfer.sparse_labels.sparsify`. By
            default all logits are kept.
        num_drawn (int): Only with ``top_k``.
        features (bool): Keep features of layers, too, which take much space.
        batch_size (int): Images at a time.
        progress (Callable): Called with the batches and their number, returns the batches.

    Raises:
        UserError: A pipeline with random views that are not those of ``SeededViews``; features
            that no cache can hold; a teacher without weights.
    """
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    parts = {'data_preprocessor': cfg.data_preprocessor, **cfg.model}
    parts['teacher'] = {key: value for key, value in parts['teacher'].items() if key != 'cache'}
    model = MODELS.build(parts)
    model.teacher.load()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    _check_views(dataset, model)
    kinds = _kinds(model, features)
    contents = CacheContents(
        teacher=model.teacher.description(),
        num_samples=len(dataset),
        views=getattr(dataset, 'views', 1),
        num_classes=view_of(model.student).num_classes,
        kinds=sorted(kind.value for kind in kinds),
        **_sparsity(model, kinds, top_k, num_drawn),
    )
    writer = CacheWriter(out, contents)
    reader = FeatureReader(model.student, model.teacher.model, model.match, (), kinds).teacher
    batches = _batches(dataset, batch_size, cfg.train_dataloader.get('num_workers', 0))
    total = contents.views * -(-len(dataset) // batch_size)
    for rows, batch in progress(batches, total):
        images = model.data_preprocessor(batch)['inputs']
        seen = model.teacher.preprocess(images, model.data_preprocessor)
        with reader.recorder.record(model.teacher.model) as recording:
            model.teacher(seen)
        found = reader.read(model.teacher.model, recording, tuple(seen.shape[2:]))
        writer.write(rows, images, found, model.match.layers)
    writer.close()
    return contents


def _check_views(dataset: Any, model: Any) -> None:
    """UserError for images that training would not reproduce."""
    if getattr(model.data_preprocessor, 'batch_augments', None) is not None:
        raise UserError(
            'data_preprocessor.batch_augments (train_cfg.augments) mixes or moves images behind '
            'the data set, at random: no cache can hold them. Set it to None, or augment in the '
            'pipeline, below SeededViews.'
        )
    if isinstance(dataset, SeededViews):
        return
    for index in range(min(PROBES, len(dataset))):
        twins = []
        for seed in (0, 1):
            with seeded((seed, index)):
                twins.append(torch.as_tensor(dataset[index]['inputs']))
        if twins[0].shape != twins[1].shape or not torch.equal(*twins):
            raise UserError(
                'The pipeline of train_dataloader.dataset is random, so training would get '
                "other images: wrap the data set as dict(type='transmamba_mm.SeededViews', "
                'dataset=..., views=4), or remove the random steps.'
            )


def _kinds(model: Any, features: bool) -> frozenset[FeatureKind]:
    """The distillers' feature kinds that a cache can hold."""
    view = view_of(model.student)
    if view.num_classes is None:
        raise UserError('Only outputs of classifiers can be cached; this student is not one.')
    distillers = model.distiller, *model.plan.values()
    kinds = frozenset().union(*(distiller.teacher_kinds for distiller in distillers))
    if FeatureKind.ATTENTION_MAPS in kinds:
        raise UserError('Attention maps are not cached: use a distiller that does not need them.')
    if kinds - MODEL_KINDS and not features:
        listed = ', '.join(sorted(kind.value for kind in kinds - MODEL_KINDS))
        raise UserError(
            f'The method compares {listed}, which take much space: pass --features, or a method '
            'of logits alone (--method logits).'
        )
    return kinds


def _sparsity(model: Any, kinds: Iterable[FeatureKind], top_k: Any, num_drawn: int) -> dict:
    if top_k is None:
        return {}
    num_classes = view_of(model.student).num_classes
    check('the cache', 'top_k', top_k, COUNT)
    check('the cache', 'num_drawn', num_drawn, COUNT)
    distillers = model.distiller, *model.plan.values()
    temperatures = {
        getattr(distiller, 'temperature', None)
        for distiller in distillers
        if FeatureKind.LOGITS in distiller.teacher_kinds
    }
    if len(temperatures) != 1 or None in temperatures:
        raise UserError(
            f'top_k={top_k} keeps the labels of one temperature, but the method compares logits '
            f'at {sorted(map(str, temperatures)) or "none"}: leave it out to keep all logits.'
        )
    if top_k >= num_classes:
        raise UserError(f'top_k={top_k} keeps all {num_classes} classes: remove it.')
    return {'top_k': top_k, 'num_drawn': num_drawn, 'temperature': temperatures.pop()}


def _batches(dataset: Any, batch_size: int, num_workers: int) -> Iterable:
    """Row numbers in the cache and a batch, view by view."""
    views = getattr(dataset, 'views', 1)
    for view in range(views):
        if views > 1 or isinstance(dataset, SeededViews):
            dataset.view = view
        loader = DataLoader(dataset, batch_size, num_workers=num_workers, collate_fn=pseudo_collate)
        first = 0
        for batch in loader:
            samples = np.arange(first, first + len(batch['inputs']))
            first += len(samples)
            yield samples * views + view, batch
