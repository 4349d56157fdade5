"""Process-wide settings of a config: the scan backend and the allocator's freed memory."""

import ctypes
import logging
import sys

import torch
from mmengine.config import Config
from mmengine.device import get_device

from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.ops.backends.select import set_default_backend

#: Top-level keys of a config that :func:`prepare_runtime` reads.
RUNTIME_KEYS = ('scan_backend', 'keep_freed_memory')

#: Arguments of ``AmpOptimWrapper`` that bfloat16 on a CPU has no use for.
AMP_KEYS = ('loss_scale', 'dtype', 'use_fsdp')

logger = logging.getLogger('transmamba_mm')


def prepare_runtime(cfg: Config) -> None:
    """Apply ``scan_backend`` and ``keep_freed_memory`` to this process, and fit it to its device.

    Mixed precision on a CPU becomes bfloat16 autocast: mmengine's ``AmpOptimWrapper`` is for
    accelerators alone. The environment variable ``TRANSMAMBA_SCAN_BACKEND`` stands above the
    config.

    Raises:
        UserError: the requested scan backend is unavailable on this machine.
    """
    set_default_backend(cfg.get('scan_backend', 'auto'), torch.device(get_device()))
    wrapper = cfg.get('optim_wrapper') or {}
    if get_device() == 'cpu' and type_name(wrapper) == 'AmpOptimWrapper':
        wrapper['type'] = 'transmamba_mm.CpuAmpOptimWrapper'
        for name in AMP_KEYS:
            wrapper.pop(name, None)
    if cfg.get('keep_freed_memory', False):
        keep_freed_memory()


def choose_device(name: str | None) -> torch.device:
    """The device of a name, which is tried out; without one the fastest there is.

    Raises:
        UserError: There is no such device here.
    """
    try:
        device = torch.device(name or get_device())
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise UserError(
            f'The device {name!r} cannot be used here ({reason}): name another such as cpu, or '
            'none for the fastest available.'
        ) from error
    return device


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free, for the next ones; return whether it can.

    By default glibc maps every large tensor afresh and gives it back when it is freed, so each
    training step pays for the same page faults again; at VMamba's sizes they cost as much as the
    scan. The price: the process never shrinks below its largest step. Other C libraries and
    allocators (macOS, musl, jemalloc) have no such setting, or need none.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # M_* of malloc.h
    libc = ctypes.CDLL(None) if sys.platform == 'linux' else None
    if libc is None or not hasattr(libc, 'gnu_get_libc_version'):
        logger.info('keep_freed_memory is not used: the C library is not glibc')
        return False
    settings = {mmap_max: 0, trim_threshold: 2**31 - 1, top_pad: 2**26}
    return all(libc.mallopt(name, value) for name, value in settings.items())
