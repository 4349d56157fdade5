"""Common checks of the CUDA backends: packages may be missing, broken or without a device."""

import importlib
from collections.abc import Callable

import torch


def cuda_with(*modules: str) -> Callable[[], tuple[bool, str]]:
    """Return an ``available`` that imports the modules in turn, then checks for a device."""

    def available() -> tuple[bool, str]:
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # an extension built for another torch raises anything
                reason = f'{type(error).__name__}: {error}'.splitlines()[0]
                return False, f'{module} cannot be imported ({reason})'
        if not torch.cuda.is_available():
            return False, f'{modules[0]} is installed, but there is no CUDA device'
        return True, ''

    return available
