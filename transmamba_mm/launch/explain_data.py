"""Explain errors about data and parts that do not fit each other."""

import re
import traceback

from mmcv.transforms import BaseTransform
from mmengine.model import BaseDataPreprocessor
from torch import nn

from transmamba_mm.launch.raised_in import raised_in

#: torch's message for items that cannot be stacked into a batch.
UNEQUAL = 'stack expects each tensor to be equal size'
#: What a pipeline packs its items into.
PACKED = ('inputs', 'data_samples')
#: Where a data set of mmpretrain keeps the names of its files.
ANNOTATIONS = ('ann_file', 'question_file', 'split_file')
#: torch's messages for tensors that do not fit each other.
MISFIT = re.compile(
    'shapes cannot be multiplied|must match|expected input.*to have|to be broadcastable|'
    'size of tensor|invalid for input of size|should be the same|normalized_shape|'
    'Expected size|not match|output size is too small|should be (at least|less)|mismatch'
)


def misfit(error: Exception, text: str) -> str | None:
    """Explain parts that do not fit each other, or the data, from torch's and mmcv's messages."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    owners = [frame.f_locals.get('self') for frame in frames]
    step = next((owner for owner in owners if isinstance(owner, BaseTransform)), None)
    packed = next((owner for owner in owners if isinstance(owner, BaseDataPreprocessor)), None)
    foreign = not raised_in(error).startswith('transmamba_mm')
    said = f'{type(error).__name__}: {text}'
    if 'in DataLoader worker process' in text:
        files = re.findall(r'File "(.*?)"', text)
        foreign, said = '/transmamba_mm/' not in files[-1], text.strip().splitlines()[-1]
        step = 'A step' if any('transforms' in file for file in files) else None
    if step is not None and foreign:
        name = step if isinstance(step, str) else type(step).__name__
        return (
            f'{name} of a pipeline cannot work on an item ({said}): correct its arguments, or the '
            'steps before it.'
        )
    if packed is not None and (foreign or text in PACKED):
        return (
            f'{type(packed).__name__} cannot work on a batch ({said}): end the pipeline with what '
            'packs its items, such as PackInputs, and correct data_preprocessor.'
        )
    modules = [type(owner).__name__ for owner in owners if isinstance(owner, nn.Module)]
    if modules and isinstance(error, RuntimeError) and MISFIT.search(text):
        return (
            f'{" > ".join(dict.fromkeys(modules))} does not fit its input: {text}. Correct '
            'the sizes in the config (widths, channels, image sizes, classes).'
        )
    return None


def unreadable_annotations(error: Exception) -> str | None:
    """Explain files without the content that a data set of another package expects."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name != 'load_data_list':
            continue
        owner = frame.f_locals.get('self')
        files = [str(file) for name in ANNOTATIONS if (file := getattr(owner, name, None))]
        if files and not type(owner).__module__.startswith('transmamba_mm'):
            said = f'{type(error).__name__}: {error}'.partition('\n')[0]
            return (
                f'{", ".join(files)}: not what {type(owner).__name__} reads ({said:.200}). Fetch '
                'the annotations again, or correct their names and data_root.'
            )
    return None


def unequal_items(text: str) -> str:
    """Explain items that cannot be one batch."""
    shapes = re.findall(r'\[[\d, ]+\]', text.partition(UNEQUAL)[2])[:2]
    return (
        f'The items of a batch differ in shape ({" and ".join(shapes)}): bring them to one size in '
        'the pipeline, videos by the size=(height, width) of DecodeVideo or by CenterCropClip, '
        'images by Resize and CenterCrop.'
    )
