"""Turn errors a user can fix into one message with the cause and the fix."""

import re

from mmengine.config.utils import ConfigParsingError

from transmamba_mm.errors import UserError
from transmamba_mm.launch.config_path import place_of
from transmamba_mm.launch.explain_config import (
    unknown_metric,
    unknown_type,
    unreadable_option,
    wrong_argument,
)
from transmamba_mm.launch.explain_data import (
    UNEQUAL,
    misfit,
    unequal_items,
    unreadable_annotations,
)
from transmamba_mm.launch.full_disk import explain_full_disk
from transmamba_mm.launch.raised_in import raised_in

#: Modules whose assertions and ValueErrors concern the user's config, not the code.
CHECKS_INPUT = (
    *('mmengine.config', 'mmengine.optim', 'mmengine.runner.runner', 'mmpretrain.datasets'),
    'torch.utils.data',
)
#: mmengine's messages for a value that is not a config.
NO_CONFIG = ('cfg should be a dict', 'type must be a str')
OTHER_RUN = (
    'The checkpoint to resume is of a training of another model or optimizer: resume it by its own '
    'config. To begin with its weights alone, name it as load_from in --cfg-options instead.'
)
RECORDED_WITHIN = (
    'activation_checkpointing names a part of the student that holds several layers, whose '
    'directions are recorded: name single layers, such as student.backbone.blocks.0, or use '
    'with_cp=True of the backbone instead.'
)
SHARED_MEMORY = (
    'The shared memory of this machine (/dev/shm) has no room for the batches that workers make: '
    'enlarge it (docker run --shm-size=8g), or set train_dataloader.num_workers and '
    'val_dataloader.num_workers to fewer, or 0.'
)
#: mmengine's and torch's messages about a user's data and checkpoint that name no fix.
ADVICE = {
    'Cannot find valid image after': (
        'The data set found no readable item among a thousand. The first are '
        'named above: fix them, or correct the folder (data_root, data_prefix).'
    ),
    'A different number of tensors was saved during the original forward': RECORDED_WITHIN,
    'Recomputed values for the following tensors have different metadata': RECORDED_WITHIN,
    'loaded state dict has a different number of parameter groups': OTHER_RUN,
    'unable to write to file </torch_': SHARED_MEMORY,
    'unable to resize file </torch_': SHARED_MEMORY,
    'unable to allocate shared memory': SHARED_MEMORY,
    'out of shared memory': SHARED_MEMORY,
    "loaded state dict contains a parameter group that doesn't match": OTHER_RUN,
}


def explain(error: Exception) -> str | None:
    """Return the cause and the fix, or None where the error is not the user's."""
    text, place = _explain(error), place_of(error)
    if place is None or (text is not None and text.startswith(place)):
        return text
    if text is None:  # a part's own message about its config
        text = f'{type(error).__name__}: {error}'
    return f'{place}: {text}'


def _explain(error: Exception) -> str | None:
    if isinstance(error, (UserError, ConfigParsingError)):
        return _without_worker(error)
    if isinstance(error, OSError):
        named = f'{error.filename}: {error.strerror}' if error.filename else str(error)
        return explain_full_disk(error) or named
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    text = str(error.args[0]) if error.args else ''
    if message := unreadable_annotations(error):
        return message
    if isinstance(error, RecursionError):
        return unreadable_option(error)
    if UNEQUAL in text and 'collate' in text + raised_in(error):
        return unequal_items(text)
    for said, advice in ADVICE.items():
        if said in text:
            return advice
    if isinstance(error, KeyError):
        return unknown_metric(text, error) or unknown_type(text) or misfit(error, text)
    if isinstance(error, TypeError):
        says_it = 'in child config cannot inherit' in text or text.startswith(NO_CONFIG)
        return text if says_it else wrong_argument(text) or misfit(error, text)
    checked = isinstance(error, (AssertionError, RuntimeError, ValueError))
    if checked and raised_in(error).startswith(CHECKS_INPUT):
        return text
    return _no_memory(text) or misfit(error, text)


def _no_memory(text: str) -> str | None:
    """Explain that something is too large for this machine."""
    found = re.search(r"can't allocate memory: you tried to allocate (\d+) bytes", text)
    if found is None and 'CUDA out of memory' not in text:
        return None
    wanted = f'{int(found[1]) / 1e9:,.1f} GB' if found else 'more'
    return (
        f'Not enough memory ({wanted} requested at once): reduce sizes in the config, such as '
        'train_dataloader.batch_size, img_size or widths.'
    )


def _without_worker(error: Exception) -> str:
    """The message alone of an error that a DataLoader may have brought out of a worker."""
    text, name = str(error), f'\n{type(error).__module__}.{type(error).__qualname__}: '
    return text.rpartition(name)[2] if text.startswith('Caught ') else text
