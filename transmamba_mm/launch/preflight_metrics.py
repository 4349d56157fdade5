"""Check that the model and data provide what the config's metrics need."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import did_you_mean
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.registry import METRICS


def unknown_best(cfg: Config) -> Iterator[str]:
    """Report a ``save_best`` that no metric computes, as far as metrics declare their names.

    Ours list their ``NAMES``; of others the prefix is known.
    """
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    wanted, evaluators = checkpoint.get('save_best'), cfg.get('val_evaluator')
    if not wanted or wanted == 'auto' or not evaluators:
        return
    names: list[str] = []
    for _, config in _metrics(cfg, 'val'):
        metric: Any = _class_of(config)
        prefix = config.get('prefix') or getattr(metric, 'default_prefix', None)
        if prefix is None:  # its names are unknown
            return
        names += [f'{prefix}/{name}' for name in getattr(metric, 'NAMES', ('...',))]
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in names and f'{name.rpartition("/")[0]}/...' not in names:
            yield (
                f'save_best={name!r} (default_hooks.checkpoint) is not reported by the validation'
                f'.{did_you_mean(name, names)} It reports {", ".join(names)}.'
            )


def missing_head(cfg: Config) -> Iterator[str]:
    """Report a classifier to train or test that has no head."""
    place, student = _student(cfg)
    if type_name(student) == 'ImageClassifier' and not student.get('head'):
        yield (
            f'{place} has no head, so it has neither a loss nor predictions: set {place}.head='
            "dict(type='LinearClsHead', num_classes=..., in_channels=...)."
        )


def impossible_hits(cfg: Config) -> Iterator[str]:
    """Report why the head cannot compute its training accuracy, if it cannot."""
    place, student = _student(cfg)
    head = student.get('head') or {}
    yield from _excessive_topk(cfg, f'{place}.head', head)
    where, preprocessor = _preprocessor(cfg)
    soft = [f'{where}.{key}' for key in ('batch_augments', 'to_onehot') if preprocessor.get(key)]
    if (student.get('train_cfg') or {}).get('augments'):
        soft.append(f'{place}.train_cfg.augments')
        if 'batch_augments' in preprocessor:
            yield f'{soft[-1]} is not read beside {where}.batch_augments: keep one of the two.'
    if head.get('cal_acc') and soft:
        yield (
            f'{place}.head.cal_acc=True counts hits of labels, but {soft[0]} makes them soft: '
            'leave one of the two out. The validation reports the accuracy anyway.'
        )


def excessive_topk(cfg: Config, phase: str) -> Iterator[str]:
    """Report metrics of a phase with a larger ``topk`` than there are classes."""
    from mmpretrain.evaluation import Accuracy, MultiLabelMetric  # slow, and not for a --help

    for place, config in _metrics(cfg, phase):
        metric = _class_of(config)  # the topk of a retrieval counts what is found, not classes
        if inspect.isclass(metric) and issubclass(metric, (Accuracy, MultiLabelMetric)):
            yield from _excessive_topk(cfg, place, config)


def _excessive_topk(cfg: Config, place: str, part: Mapping[str, Any]) -> Iterator[str]:
    where, student = _student(cfg)
    classes, topk = (student.get('head') or {}).get('num_classes'), part.get('topk')
    largest = max(topk) if isinstance(topk, (list, tuple)) else topk
    if classes is not None and largest is not None and largest > classes:
        yield (
            f'{place}.topk={topk} needs more classes than the model has '
            f'({where}.head.num_classes={classes}): lower it.'
        )


def _student(cfg: Config) -> tuple[str, Mapping[str, Any]]:
    """The path of the trained model, and its config."""
    model = cfg.get('model') or {}
    return ('model.student', model['student'] or {}) if 'student' in model else ('model', model)


def _preprocessor(cfg: Config) -> tuple[str, Mapping[str, Any]]:
    """The place of what prepares the student's images, and its config."""
    place, student = _student(cfg)
    key = 'data_preprocessor'
    owners = {f'{place}.{key}': student, f'model.{key}': cfg.get('model') or {}, key: cfg}
    return next(((path, owner[key]) for path, owner in owners.items() if owner.get(key)), (key, {}))


def _metrics(cfg: Config, phase: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The metrics of a phase and their places."""
    evaluators = cfg.get(f'{phase}_evaluator') or []
    if isinstance(evaluators, Mapping):
        yield f'{phase}_evaluator', evaluators
    else:
        yield from ((f'{phase}_evaluator.{i}', each) for i, each in enumerate(evaluators))


def _class_of(config: Any) -> Any:
    kind = config.get('type')
    return METRICS.get(kind) if isinstance(kind, str) else kind
