"""Turn errors a user can fix into one message with the cause and the fix."""

import inspect
import re
import traceback
from types import FrameType

from mmcv.transforms import BaseTransform
from mmengine.config.utils import ConfigParsingError
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import Registry, root
from torch import nn

from transmamba_mm import registry as ours
from transmamba_mm.errors import UserError, did_you_mean
from transmamba_mm.launch.config_path import place_of
from transmamba_mm.launch.full_disk import explain_full_disk

#: Modules whose assertions and ValueErrors concern the user's config, not the code.
CHECKS_INPUT = (
    *('mmengine.config', 'mmengine.optim', 'mmengine.runner.runner', 'mmpretrain.datasets'),
    'torch.utils.data',
)
#: mmengine's messages for a value that is no config.
NO_CONFIG = ('cfg should be a dict', 'type must be a str')
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
    if message := _unreadable_annotations(error):
        return message
    if isinstance(error, RecursionError):
        return _unreadable_option(error)
    if UNEQUAL in text and 'collate' in text + _raised_in(error):
        return _unequal_items(text)
    for said, advice in ADVICE.items():
        if said in text:
            return advice
    if isinstance(error, KeyError):
        return _unknown_metric(text, error) or _unknown_type(text) or _misfit(error, text)
    if isinstance(error, TypeError):
        says_it = 'in child config cannot inherit' in text or text.startswith(NO_CONFIG)
        return text if says_it else _wrong_argument(text) or _misfit(error, text)
    checked = isinstance(error, (AssertionError, RuntimeError, ValueError))
    if checked and _raised_in(error).startswith(CHECKS_INPUT):
        return text
    return _no_memory(text) or _misfit(error, text)


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


def _misfit(error: Exception, text: str) -> str | None:
    """Explain parts that do not fit each other, or the data, from torch's and mmcv's messages."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    owners = [frame.f_locals.get('self') for frame in frames]
    step = next((owner for owner in owners if isinstance(owner, BaseTransform)), None)
    packed = next((owner for owner in owners if isinstance(owner, BaseDataPreprocessor)), None)
    foreign = not _raised_in(error).startswith('transmamba_mm')
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


def _without_worker(error: Exception) -> str:
    """The message alone of an error that a DataLoader may have brought out of a worker."""
    text, name = str(error), f'\n{type(error).__module__}.{type(error).__qualname__}: '
    return text.rpartition(name)[2] if text.startswith('Caught ') else text


def _raised_in(error: Exception) -> str:
    """Name the module that raised ``error``."""
    return _last_frame(error).f_globals.get('__name__', '')


def _last_frame(error: Exception) -> FrameType:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame


def _registries() -> list[Registry]:
    """Every registry a config of ours can name something in."""
    modules = (ours, ours.mmpretrain, root)
    return [item for module in modules for item in vars(module).values() if type(item) is Registry]


def _unknown_type(text: str) -> str | None:
    """Explain a type that no registry has, or none; None for a KeyError that is not mmengine's."""
    match = re.match(r'(\S+) is not in the (?:\S+::)?(.+?) registry', text)
    if match is None and (found := re.match(r'`cfg` .*contain the key "type".*but got (.*)', text)):
        return f'A part of the config has no type: {found[1]:.200}'
    if match is None:
        return text if 'Duplicate key is not allowed among bases' in text else None
    name, kind = match.groups()
    known = [entry for item in _registries() if item.name == kind for entry in item.module_dict]
    return f'type={name!r} is not a known {kind}.{did_you_mean(name.rpartition(".")[2], known)}'


def _unknown_metric(name: str, error: KeyError) -> str | None:
    """Explain a requested metric or prediction that nothing computes."""
    place = _raised_in(error)
    if place == 'mmengine.hooks.checkpoint_hook':
        known = [*_last_frame(error).f_locals.get('metrics', ())]
        return (
            f'save_best={name!r} (default_hooks.checkpoint) is not reported by the validation.'
            f'{did_you_mean(name, known)} It reports {", ".join(known)}. Fix it and continue '
            'from the last checkpoint with --resume.'
        )
    if place.startswith('mmpretrain.evaluation'):
        return (
            f'An evaluator needs {name!r}, which this model does not predict: choose the '
            'val_evaluator and test_evaluator that belong to its task.'
        )
    return None


def _unreadable_annotations(error: Exception) -> str | None:
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


def _unequal_items(text: str) -> str:
    """Explain items that cannot be one batch."""
    shapes = re.findall(r'\[[\d, ]+\]', text.partition(UNEQUAL)[2])[:2]
    return (
        f'The items of a batch differ in shape ({" and ".join(shapes)}): bring them to one size in '
        'the pipeline, videos by the size=(height, width) of DecodeVideo or by CenterCropClip, '
        'images by Resize and CenterCrop.'
    )


def _unreadable_option(error: RecursionError) -> str | None:
    """Explain a value that mmengine's parser of options never gets to the end of."""
    if _raised_in(error) != 'mmengine.config.config':
        return None
    return (
        'A value of --cfg-options cannot be read: set single entries, as in '
        'model.subcloning.vision.importance=magnitude; lists are written "[1,2]", tuples "(1,2)".'
    )


def _wrong_argument(text: str) -> str | None:
    """Explain a config key that the class it builds does not accept, or lacks."""
    match = re.match(
        r'([\w.]+?)(\.__init__)?\(\) '
        r"(?:got an unexpected keyword argument '(\w+)'|missing |takes no arguments)",
        text,
    )
    if match is None:
        return None
    owner, is_class, key = match.groups()
    named = {
        name: built
        for item in _registries()
        for name, built in item.module_dict.items()
        if getattr(built, '__name__', None) == owner
    }
    if not named and not is_class:  # a function of anybody's
        return None
    shown = owner if owner in named or not named else next(iter(named))
    if 'missing ' in match[0]:
        return text if is_class else text.replace(f'{owner}()', shown, 1)
    if key is None:
        return f'{shown} takes no keys but its type.'
    accepted = [name for built in named.values() for name in inspect.signature(built).parameters]
    return f'{shown} takes no {key!r} in its config.{did_you_mean(key, accepted)}'
