"""The state of a runner as one hash: equal digests mean equal runs."""

import hashlib
import types
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub, MMLogger

#: What differs between runs of one config, or only repeats the config.
SKIPPED = (
    *('cfg', '_cfg', 'config', '_timestamp', '_work_dir', '_log_dir', 'logger', 'message_hub'),
    *('_experiment_name', 'timestamp', '_img_save_dir', '_config_save_file', '_scalar_save_file'),
    *('_save_dir', 'out_dir', 'save_dir', '_env_initialized', '_instance_name', 'json_log_path'),
    *('t', '_handle', 'deploy_cfg', 'train_cfg', '_iterator', 'start_time', 'backend'),
)
DEPTH = 14


def digest(runner: Any) -> str:
    """A hash of the built ``runner``, weights and settings."""
    seen: dict[int, int] = {}
    hasher = hashlib.sha256()
    for part in _flatten(vars(runner), seen, 0):
        hasher.update(part.encode())
        hasher.update(b'\0')
    flags = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    hasher.update(repr((flags, _opencv_threads())).encode())
    return hasher.hexdigest()


def _opencv_threads() -> int:
    import cv2

    return cv2.getNumThreads()


def _flatten(value: Any, seen: dict[int, int], depth: int) -> Any:
    if isinstance(value, (str, int, float, bool, type(None), bytes, complex)):
        yield repr(value)
    elif isinstance(value, torch.Tensor):
        yield f'{value.dtype}{tuple(value.shape)}'
        yield hashlib.sha256(value.detach().cpu().float().numpy().tobytes()).hexdigest()
    elif isinstance(value, np.ndarray):
        yield hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    elif isinstance(value, (types.FunctionType, type, types.MethodType, types.ModuleType)):
        yield getattr(value, '__qualname__', repr(value))
    elif isinstance(value, (Config, MMLogger, MessageHub)) or depth > DEPTH:
        yield type(value).__name__
    elif id(value) in seen:
        yield f'again {seen[id(value)]}'
    else:
        seen[id(value)] = len(seen)
        yield type(value).__qualname__
        if isinstance(value, (dict, ConfigDict)):
            for key in value:
                if key not in SKIPPED:
                    yield str(key) if isinstance(key, (str, int)) else type(key).__name__
                    yield from _flatten(dict.get(value, key), seen, depth + 1)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from _flatten(item, seen, depth + 1)
        elif isinstance(value, (set, frozenset)):
            yield repr(sorted(map(str, value)))
        elif hasattr(value, 'func') and hasattr(value, 'keywords'):
            yield from _flatten([value.func, value.args, value.keywords], seen, depth + 1)
        elif hasattr(value, '__dict__'):
            yield from _flatten(vars(value), seen, depth + 1)
