"""Whether the best checkpoint is chosen by something that the validation reports."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import did_you_mean
from transmamba_mm.registry import METRICS


def unknown_best(cfg: Config) -> Iterator[str]:
    """Say which ``save_best`` no metric reports, as far as metrics tell it before they run.

    Ours list their ``NAMES``; of others the prefix is known.
    """
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    wanted, evaluators = checkpoint.get('save_best'), cfg.get('val_evaluator')
    if not wanted or wanted == 'auto' or not evaluators:
        return
    names: list[str] = []
    for config in [evaluators] if isinstance(evaluators, dict) else evaluators:
        metric: Any = _class_of(config)
        prefix = config.get('prefix') or getattr(metric, 'default_prefix', None)
        if prefix is None:  # of which nothing is known
            return
        names += [f'{prefix}/{name}' for name in getattr(metric, 'NAMES', ('...',))]
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in names and f'{name.rpartition("/")[0]}/...' not in names:
            yield (
                f'save_best={name!r} (default_hooks.checkpoint) is nothing that the validation '
                f'reports.{did_you_mean(name, names)} It reports {", ".join(names)}.'
            )


def _class_of(config: Any) -> Any:
    kind = config.get('type')
    return METRICS.get(kind) if isinstance(kind, str) else kind
