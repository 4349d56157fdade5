"""What a config says about its data, whatever wraps it."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config


def leaves(dataset: Mapping[str, Any] | None) -> Iterator[Any]:
    """The configs of the data sets inside wrappers such as ConcatDataset or RepeatDataset."""
    if dataset is None:
        return
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for part in inner:
        yield from leaves(part)


def pipeline_of(cfg: Config, phase: str = 'test') -> list[dict]:
    """Copies of the steps through which a phase's data go, of its first data set; or none."""
    dataset = (cfg.get(f'{phase}_dataloader') or {}).get('dataset')
    first = next(leaves(dataset), {})
    return [dict(step) for step in first.get('pipeline') or ()]


def kind_of(part: Mapping[str, Any]) -> str:
    """The name of the type of a part of a config, without its scope."""
    kind = part.get('type')
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]
