"""Workarounds for the stack we stand on: one function each, with its reason."""

import importlib
import logging
import sys
import types

logger = logging.getLogger('transmamba_mm')


def prepare_torchvision() -> None:
    """Let torchvision import beside a CPU build of torch.

    The torchvision wheel on PyPI is built for CUDA; next to CPU torch its ``_meta_registrations``
    fails with ``operator torchvision::nms does not exist``, which takes down mmpretrain, timm and
    every mmengine Runner. Nothing here needs those operators, so that one module is replaced by an
    empty one, and only when the plain import fails.
    """
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        if 'torchvision::' not in str(error):
            raise
        for name in [name for name in sys.modules if name.split('.')[0] == 'torchvision']:
            del sys.modules[name]
        stub = 'torchvision._meta_registrations'
        sys.modules[stub] = types.ModuleType(stub)
        importlib.import_module('torchvision')
        logger.info(
            'torchvision was built for CUDA, torch was not: its native operators are left out'
        )
