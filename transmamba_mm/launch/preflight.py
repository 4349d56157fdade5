"""Find everything that would stop a run before it starts, and report all of it at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.hooks import Hook

from transmamba_mm.checkpoint import resolve_checkpoint
from transmamba_mm.compat import import_datasets_quietly
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import iter_datasets, type_name
from transmamba_mm.launch.method import name_sources
from transmamba_mm.launch.preflight_data import missing_data, unseen_gaps
from transmamba_mm.launch.preflight_metrics import (
    excessive_topk,
    impossible_hits,
    missing_head,
    unknown_best,
)
from transmamba_mm.launch.preflight_parts import wrong_parts
from transmamba_mm.launch.preflight_resume import finished_training
from transmamba_mm.launch.read_config import KNOWN_KEYS, explain_unread


def preflight(cfg: Config, phases: Sequence[str]) -> None:
    """Check a config against the disk and itself, before anything is built.

    Args:
        cfg: the merged config.
        phases: 'train', 'val', 'test': whose data will be read. With 'train' the teacher's weights
            are looked up too, and downloaded if they are a URL.

    Raises:
        UserError: every problem found: what is missing, which folders were searched, how to get it.
    """
    import_datasets_quietly()  # a type's look-up would import them with their noise
    if wrong := [f'{name}={part!r}' for name, part in _parts(cfg) if not isinstance(part, dict)]:
        raise UserError(f'{", ".join(wrong)}: write dict(type=...), or the keys of one.')
    problems = [*_unread_keys(cfg), *_unfinished_hooks(cfg), *wrong_parts(cfg)]
    if problems:  # what follows takes them for right
        raise UserError(_listed(cfg, problems))
    problems += [*missing_head(cfg), *_uncovered_images(cfg.get('model') or {})]
    for phase in phases:
        problems += excessive_topk(cfg, phase)
        loader = cfg.get(f'{phase}_dataloader')
        if loader is not None and loader.get('dataset') is None:
            problems.append(f'{phase}_dataloader.dataset is missing: write dict(type=...).')
        for leaf in iter_datasets((loader or {}).get('dataset')):
            problems += missing_data(leaf)
            if phase != 'train':
                problems += (f'{phase}_dataloader: {text}' for text in unseen_gaps(leaf))
    if 'train' in phases:
        problems += [*_missing_weights(cfg), *_late_schedules(cfg), *unknown_best(cfg)]
        problems += [*_missing_rate(cfg), *_too_much_decay(cfg), *_unsupported_amp(cfg)]
        problems += [*impossible_hits(cfg), *finished_training(cfg)]
    if problems:
        raise UserError(_listed(cfg, problems))


def _listed(cfg: Config, problems: list[str]) -> str:
    listed = '\n'.join(f'  {i}. {text}' for i, text in enumerate(dict.fromkeys(problems), 1))
    return f'{name_sources(cfg) or "The config"} cannot run yet:\n{listed}'


def _parts(cfg: Config) -> Iterator[tuple[str, Any]]:
    """The model and the parts of a transfer, which have to be dicts; None is none."""
    found = {'model': cfg.get('model')}
    if isinstance(found['model'], dict):
        roles = ('student', 'teacher', 'distiller', 'subcloning')
        found |= {f'model.{role}': found['model'].get(role) for role in roles}
    cloned = found.get('model.subcloning')
    if isinstance(cloned, dict) and 'type' not in cloned:
        # One for each tower, True for logit_scale.
        by_name = ((name, part) for name, part in cloned.items() if not isinstance(part, bool))
        found |= {f'model.subcloning.{name}': part for name, part in by_name}
    return ((name, part) for name, part in found.items() if part is not None)


def _unread_keys(cfg: Config) -> Iterator[str]:
    """Top-level names that neither a Runner nor our tools read, nor another entry copies."""
    return (explain_unread(cfg, key) for key in cfg if key not in KNOWN_KEYS)


def _unfinished_hooks(cfg: Config) -> Iterator[str]:
    """Hooks without a type."""
    defaults, custom = cfg.get('default_hooks'), cfg.get('custom_hooks')
    hooks = dict(defaults) if isinstance(defaults, Mapping) else {}
    hooks = {f'default_hooks.{name}': hook for name, hook in hooks.items()}
    listed = custom if isinstance(custom, (list, tuple)) else ()
    hooks |= {f'custom_hooks[{i}]': hook for i, hook in enumerate(listed)}
    for place, hook in hooks.items():
        is_hook = isinstance(hook, Hook) or (isinstance(hook, Mapping) and 'type' in hook)
        if not is_hook and (hook is not None or place.startswith('custom_hooks')):
            yield f'{place}={hook} has no type: write dict(type=...), or remove it.'


def _uncovered_images(model: ConfigDict) -> Iterator[str]:
    """Images that patches do not cover, in the model or in a transfer's student and teacher."""
    roles = {'student': model.get('student'), 'teacher': (model.get('teacher') or {}).get('model')}
    for role, part in (roles if 'student' in model else {'model': model}).items():
        backbone = (part or {}).get('backbone') or {}
        patch = backbone.get('patch_size')
        step = backbone.get('patch_stride') or patch
        size = backbone.get('img_size')
        sides = size if isinstance(size, list | tuple) else [size]
        if not all(isinstance(n, int) and n > 0 for n in (patch, step, *sides)):
            continue  # the constructor names it
        for side in sides:
            if side < patch or (side - patch) % step:
                yield (
                    f'{role}: an image side of {side} pixels is not covered by patches of {patch} '
                    f'pixels every {step}. Change backbone.img_size, patch_size or patch_stride.'
                )
                break


def _missing_weights(cfg: Config) -> Iterator[str]:
    """Check that the config's checkpoints exist."""
    model = cfg.get('model') or {}
    wanted = {
        'load_from': cfg.get('load_from'),
        "the teacher's weights (model.teacher.checkpoint)": (model.get('teacher') or {}).get(
            'checkpoint'
        ),
        "the teacher's pre-trained weights (model.subcloning.pretrained)": (
            model.get('subcloning') or {}
        ).get('pretrained'),
        'the vision encoder (model.vision_checkpoint)': model.get('vision_checkpoint'),
    }
    for what, source in wanted.items():
        if source and os.environ.get('LOCAL_RANK', '0') == '0':  # one download per machine
            try:
                resolve_checkpoint(source)
            except UserError as error:
                recipe = _recipe(cfg, str(source))
                hint = f' Train it: python tools/train.py {recipe}' if recipe else ''
                yield f'{what}: {error}{hint}'


def _unsupported_amp(cfg: Config) -> Iterator[str]:
    """Mixed precision in float16 on a CPU, which has no loss scaling for it."""
    wrapper = cfg.get('optim_wrapper') or {}
    dtype = str(wrapper.get('dtype', 'bfloat16')).removeprefix('torch.')
    if type_name(wrapper) == 'AmpOptimWrapper' and get_device() == 'cpu' and dtype != 'bfloat16':
        yield (
            f'optim_wrapper.dtype={dtype!r} is not supported on a CPU, where mixed precision is '
            "bfloat16: set 'bfloat16' or remove dtype."
        )


def _missing_rate(cfg: Config) -> Iterator[str]:
    """An optimizer whose parameters have rates of their own, but no rate that those multiply."""
    wrapper = cfg.get('optim_wrapper') or {}
    optimizer = wrapper.get('optimizer') or {}
    if optimizer and wrapper.get('paramwise_cfg') and optimizer.get('lr') is None:
        yield 'optim_wrapper.optimizer has no lr, which paramwise_cfg multiplies: set one.'


def _too_much_decay(cfg: Config) -> Iterator[str]:
    """A decay that takes more than all of a weight in one step."""
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    lr, decay = optimizer.get('lr') or 0, optimizer.get('weight_decay') or 0
    if decay >= 1 and lr * decay >= 1:  # too high a learning rate shows in the loss
        yield (
            f'optim_wrapper.optimizer.weight_decay={decay:g} at lr={lr:g} takes {lr * decay:.0%} '
            'of each weight in a step: it has to be below 1 / lr, and is mostly below 1.'
        )


def _late_schedules(cfg: Config) -> Iterator[str]:
    """Schedules that begin when the training is over, as happens when only its length is cut."""
    length = cfg.get('train_cfg') or {}
    for schedule in cfg.get('param_scheduler') or ():
        by_epoch = schedule.get('by_epoch', True)
        key = 'max_epochs' if by_epoch else 'max_iters'
        begin, end = schedule.get('begin', 0), length.get(key)
        if end is not None and begin >= end:
            yield (
                f'{schedule.type} begins at {begin}, but train_cfg.{key}={end} is already the end. '
                'Train longer, or change param_scheduler.'
            )


def _recipe(cfg: Config, work_dir: str) -> Path | None:
    """Return the config in the same tree that trains the teacher ``work_dir`` is named after."""
    if cfg.filename is None:
        return None
    recipe = Path(cfg.filename).parent.parent / 'teachers' / f'{Path(work_dir).name}.py'
    return recipe if recipe.is_file() else None
