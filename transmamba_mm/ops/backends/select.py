"""Select the backend of an operator: the caller's, the environment's, or the first available."""

import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import (
    chunked,
    cpp,
    cpp_conv,
    dao_conv,
    mamba_ssm,
    reference,
    torch_conv,
    triton_scan,
)
from transmamba_mm.ops.backends.backend import Backend

#: Forces the backend of every scan that does not name one.
ENVIRONMENT = 'TRANSMAMBA_SCAN_BACKEND'

_SCANS = (mamba_ssm, triton_scan, cpp, chunked, reference)
_CONVS = (dao_conv, cpp_conv, torch_conv)
BACKENDS: dict[str, dict[str, Backend]] = {
    'scan': {module.BACKEND.name: module.BACKEND for module in _SCANS},
    'conv': {module.BACKEND.name: module.BACKEND for module in _CONVS},
}

# What 'auto' tries, best first; the torch backend runs anywhere and ends every list.
AUTO: dict[str, dict[str, tuple[str, ...]]] = {
    'scan': {'cuda': ('mamba_ssm', 'triton'), 'cpu': ('cpp',)},
    'conv': {'cuda': ('causal_conv1d',), 'cpu': ('cpp',)},
}
FALLBACK = 'torch'

# What 'auto' means for a scan when the environment sets none: a config's ``scan_backend``.
_default = 'auto'

logger = logging.getLogger('transmamba_mm')


def select_backend(operator: str, name: str, device: torch.device, dtype: torch.dtype) -> Backend:
    """Choose the backend of one call.

    The choice is logged once per process; as a warning, with the reason, where a faster backend
    cannot be used. The logger is the standard library's 'transmamba_mm'.

    Args:
        operator: 'scan' or 'conv'.
        name: a backend's name or 'auto'. For the scan the environment variable
            ``TRANSMAMBA_SCAN_BACKEND``, else :func:`set_default_backend`, takes the place of
            'auto'; an explicit name stands above both.
        device: where the tensors are.
        dtype: the compute dtype.

    Raises:
        UserError: the requested backend is unknown, unavailable, or does not support this device
            or dtype.
    """
    return BACKENDS[operator][_choose(operator, name, device.type, dtype)]


def set_default_backend(name: str, device: torch.device) -> None:
    """Let scans that name no backend use ``name`` (``TRANSMAMBA_SCAN_BACKEND`` stands above it).

    The choice is logged with the first scan: a run's log is not open yet.

    Raises:
        UserError: the backend is unavailable for float32 on ``device``.
    """
    global _default
    _find('scan', os.environ.get(ENVIRONMENT) or name, device.type, torch.float32)
    _default = name


# Building, checking and logging are not part of a graph, and the answer never changes.
@torch.compiler.assume_constant_result
def _choose(operator: str, name: str, device: str, dtype: torch.dtype) -> str:
    if name == 'auto' and operator == 'scan':
        name = os.environ.get(ENVIRONMENT) or _default
    return _select(operator, name, device, dtype)


@functools.cache
def _select(operator: str, name: str, device: str, dtype: torch.dtype) -> str:
    """Choose, and log the choice; the cache makes that once per process."""
    choice, passed_over = _find(operator, name, device, dtype)
    text = f'{operator} backend: {choice} ({device}, {_short(dtype)})'
    if passed_over:
        reasons = '; '.join(f'{faster}: {reason}' for faster, reason in passed_over.items())
        logger.warning('%s, because a faster one cannot be used: %s', text, reasons)
    else:
        logger.info('%s', text)
    return choice


def _find(operator: str, name: str, device: str, dtype: torch.dtype) -> tuple[str, dict[str, str]]:
    """Return the backend, and why each faster one of 'auto' cannot be used."""
    if name != 'auto':
        return _forced(operator, name, device, dtype), {}
    passed_over: dict[str, str] = {}
    for candidate in AUTO[operator].get(device, ()):
        reason = _obstacle(BACKENDS[operator][candidate], device, dtype)
        if not reason:
            return candidate, passed_over
        passed_over[candidate] = reason
    return FALLBACK, passed_over


def _forced(operator: str, name: str, device: str, dtype: torch.dtype) -> str:
    backends = BACKENDS[operator]
    if name not in backends:
        reason = 'there is no backend of that name'
    else:
        reason = _obstacle(backends[name], device, dtype)
        if not reason:
            return name
    usable = [b.name for b in backends.values() if not _obstacle(b, device, dtype)]
    raise UserError(
        f'{operator} backend {name!r} cannot be used: {reason}. Usable here ({device}, '
        f'{_short(dtype)}): {", ".join(usable)}; or leave the choice to "auto" (argument '
        f'`backend`, key `scan_backend` of a config, environment variable {ENVIRONMENT})'
    )


def _obstacle(backend: Backend, device: str, dtype: torch.dtype) -> str:
    """Why this backend cannot run here; empty when it can."""
    if backend.devices and device not in backend.devices:
        return f'it runs on {"/".join(backend.devices)}, not on {device}'
    if dtype not in backend.dtypes:
        return f'it does not compute in {_short(dtype)}'
    available, reason = _availability(backend)
    return '' if available else reason


@functools.cache
def _availability(backend: Backend) -> tuple[bool, str]:
    # What a thread is in the middle of (a trace, an export with fake tensors, a count of
    # operations) is its own: in a new thread a backend's self-check runs on real tensors, unseen.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(backend.available).result()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')
