"""Which backend runs a scan: the caller's choice, the environment's, or the first at hand."""

import functools
import logging
import os

import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import chunked, cpp, reference
from transmamba_mm.ops.backends.backend import Backend

ENVIRONMENT = 'TRANSMAMBA_SCAN_BACKEND'

BACKENDS: dict[str, Backend] = {
    backend.name: backend for backend in (cpp.BACKEND, chunked.BACKEND, reference.BACKEND)
}

# What 'auto' tries, best first; the torch backend runs anywhere and ends every list.
AUTO: dict[str, tuple[str, ...]] = {'cuda': (), 'cpu': ('cpp',)}

logger = logging.getLogger('transmamba_mm')


def select_backend(name: str, device: torch.device, dtype: torch.dtype) -> Backend:
    """Choose the backend of one scan.

    Args:
        name: a backend's name or 'auto'. The environment variable ``TRANSMAMBA_SCAN_BACKEND``
            takes the place of 'auto'; an explicit name stands above both.
        device: where the tensors are.
        dtype: the compute dtype.

    Raises:
        UserError: the backend asked for is unknown, cannot be had, or does not take this device
            or dtype.
    """
    if name == 'auto':
        name = os.environ.get(ENVIRONMENT) or 'auto'
    return _select(name, device.type, dtype)


@functools.cache
def _select(name: str, device: str, dtype: torch.dtype) -> Backend:
    if name != 'auto':
        chosen = _forced(name, device, dtype)
    else:
        chosen = chunked.BACKEND
        for candidate in AUTO.get(device, ()):
            reason = _obstacle(BACKENDS[candidate], device, dtype)
            if not reason:
                chosen = BACKENDS[candidate]
                break
            logger.info('scan backend %s is not used: %s', candidate, reason)
    logger.info('scan backend: %s (%s, %s)', chosen.name, device, _short(dtype))
    return chosen


def _forced(name: str, device: str, dtype: torch.dtype) -> Backend:
    if name not in BACKENDS:
        reason = 'there is no backend of that name'
    else:
        reason = _obstacle(BACKENDS[name], device, dtype)
        if not reason:
            return BACKENDS[name]
    usable = [b.name for b in BACKENDS.values() if not _obstacle(b, device, dtype)]
    raise UserError(
        f'scan backend {name!r} cannot be used: {reason}. Usable here ({device}, '
        f'{_short(dtype)}): {", ".join(usable)}; or leave the choice to "auto" '
        f'(argument `backend` or environment variable {ENVIRONMENT})'
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
    return backend.available()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')
