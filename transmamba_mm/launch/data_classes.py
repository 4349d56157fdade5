"""Let the number of classes follow the data."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import iter_datasets, type_name
from transmamba_mm.registry import DATASETS


def fill_num_classes(cfg: Config) -> None:
    """Set each ``num_classes`` that is None to the number of classes of the data.

    The data is that of the first phase that has any: train, val, test.

    Raises:
        UserError: A data set that names no classes; no data set at all.
    """
    empty = list(_without_number(cfg._cfg_dict, ''))
    if not empty:
        return
    phases = ('train', 'val', 'test')
    loaders = (cfg.get(f'{phase}_dataloader') or {} for phase in phases)
    datasets = (leaf for loader in loaders for leaf in iter_datasets(loader.get('dataset')))
    dataset = next(datasets, None)
    keys = ', '.join(path for path, _ in empty)
    if dataset is None:
        raise UserError(f'{keys} is None, and no data set has classes: set the number.')
    number = _num_classes(dataset)
    if number is None:
        raise UserError(
            f'{keys} is None, but the data set {type_name(dataset)} names no classes before it is '
            'read: set the number.'
        )
    for _, part in empty:
        part['num_classes'] = number


def _without_number(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        if 'num_classes' in part and part['num_classes'] is None:
            yield f'{path}num_classes', part
        for key, value in part.items():
            yield from _without_number(value, f'{path}{key}.')
    elif isinstance(part, list | tuple):
        for i, value in enumerate(part):
            yield from _without_number(value, f'{path}{i}.')


def _num_classes(dataset: Mapping[str, Any]) -> int | None:
    from transmamba_mm.datasets.image_list import list_images  # seconds --help need not wait

    if type_name(dataset) == 'ImageFolder' and dataset.get('data_root'):
        return len(list_images(dataset['data_root']).classes)
    own = (dataset.get('metainfo') or {}).get('classes')
    kind = DATASETS.get(dataset['type']) if isinstance(dataset.get('type'), str) else None
    classes = own or getattr(kind, 'METAINFO', {}).get('classes')
    return None if classes is None else len(classes)
