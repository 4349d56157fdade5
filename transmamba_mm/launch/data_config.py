"""A config's data set settings, inside any wrappers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import nn

from transmamba_mm.models.towers import IMAGES, towers_of

#: Steps that cut the middle out of a picture, and how each calls its size.
CROPS = {'CenterCrop': 'crop_size', 'CenterCropClip': 'size'}


def iter_datasets(dataset: Mapping[str, Any] | None) -> Iterator[Any]:
    """The configs of the data sets inside wrappers such as ConcatDataset or RepeatDataset."""
    if dataset is None:
        return
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for part in inner:
        yield from iter_datasets(part)


def pipeline_of(cfg: Config, phase: str = 'test') -> list[dict]:
    """Copies of the steps through which a phase's data go, of its first data set; or none."""
    dataset = (cfg.get(f'{phase}_dataloader') or {}).get('dataset')
    first = next(iter_datasets(dataset), {})
    return [dict(step) for step in first.get('pipeline') or ()]


def type_name(part: Mapping[str, Any]) -> str:
    """The name of the type of a part of a config, without its scope."""
    kind = part.get('type')
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]


def fit_to_model(steps: Sequence[dict], model: nn.Module) -> list[dict]:
    """Steps that resize images of any shape to the model's training size.

    The config's own decide where they lead to one size; a picture that is too small for their crop
    is enlarged before it. Where they do not, since all data had one size, pictures are fitted to
    the model's.

    Args:
        steps: Of :func:`pipeline_of`.
        model: With towers; one that has learned no size of pictures takes what the steps give.
    """
    fitted = []
    for step in steps:
        if type_name(step) in CROPS:
            size = step[CROPS[type_name(step)]]
            fitted.append({'type': 'transmamba_mm.FitSize', 'size': size, 'only_smaller': True})
        fitted.append(step)
    size = trained_size(model)
    if size is not None and not any(map(_decides_size, steps)):
        kinds = [type_name(step) for step in fitted]
        last = next((i for i, kind in enumerate(kinds) if kind.startswith('Pack')), len(kinds))
        fitted.insert(last, {'type': 'transmamba_mm.FitSize', 'size': size})
    return fitted


def trained_size(model: nn.Module) -> tuple[int, int] | None:
    """Height and width of the pictures that a model was made for; None if it has no such size."""
    for tower in towers_of(model).values():
        if tower.reads == IMAGES:
            size = getattr(tower.backbone, 'img_size', None)
            if size is None:
                size = getattr(getattr(tower.backbone, 'config', None), 'image_size', None)
            return (size, size) if isinstance(size, int) else size and tuple(size)
    return None


def _decides_size(step: Mapping[str, Any]) -> bool:
    """Whether a step gives images of all shapes one shape."""
    kind = type_name(step)
    if kind in ('DecodeVideo', 'ResizeClip'):
        return isinstance(step.get('size'), Sequence)
    return 'Crop' in kind or (kind == 'Resize' and not step.get('keep_ratio', False))
