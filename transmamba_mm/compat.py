"""Workarounds for dependencies: one function each, with its reason."""

import atexit
import contextlib
import importlib
import io
import logging
import os
import sys
import types
import warnings
from functools import lru_cache, wraps
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader

logger = logging.getLogger('transmamba_mm')

#: mmengine's format on a terminal.
LOG_FORMAT = '%(asctime)s - %(name)s - %(levelname)s - %(message)s'

INDEX, ONE_OF_OURS = 'model-index.yml', 'vim-t_in1k'
#: Modules of mmpretrain with data sets of questions about images.
VQA_DATASETS = ('coco_vqa', 'gqa_dataset', 'ocr_vqa', 'scienceqa', 'textvqa', 'vg_vqa', 'vizwiz')


def internal(owner: Any, name: str) -> Any:
    """Return a private name of a library; every one that we use is read here.

    Args:
        owner: a module, class or object of that library.
        name: its attribute.

    Raises:
        ImportError: this release has no such attribute.
    """
    if hasattr(owner, name):
        return getattr(owner, name)
    module = owner.__name__ if isinstance(owner, types.ModuleType) else owner.__module__
    package = module.partition('.')[0]
    releases = [f'{d} {version(d)}' for d in packages_distributions().get(package, ())]
    raise ImportError(
        f'{", ".join(releases) or f"Python {sys.version.split()[0]}"} has no {name} in {module}, '
        'which transmamba_mm relies on: install the releases in requirements/constraints.txt.'
    )


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
        try:
            importlib.import_module('torchvision')
        except RuntimeError as again:
            raise ImportError(
                f'torchvision {version("torchvision")} does not import beside torch '
                f'{torch.__version__} ({again}): install the torchvision built for this torch.'
            ) from again
        logger.debug(
            'torchvision was built for CUDA, torch was not: its native operators are left out'
        )


class _MMEngineHandler(logging.StreamHandler):
    """Passes records to mmengine's current logger, or to standard error while there is none.

    mmengine would create one, which writes to standard output: that is the data of some tools.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write to the terminal and, once a Runner is built, to its log file."""
        if internal(MMLogger, '_instance_dict'):
            MMLogger.get_current_instance().handle(record)
        else:
            super().emit(record)


def log_through_mmengine() -> None:
    """Give the logger 'transmamba_mm' mmengine's handlers.

    :mod:`transmamba_mm.ops` runs without mmengine, so it uses the standard library's logger, which
    shows warnings alone and writes no file.
    """
    if not any(isinstance(handler, _MMEngineHandler) for handler in logger.handlers):
        handler = _MMEngineHandler()
        handler.setFormatter(logging.Formatter(LOG_FORMAT, '%m/%d %H:%M:%S'))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def announce_config_package() -> None:
    """Support ``_base_ = 'transmamba_mm::transmamba/....py'`` in configs.

    mmengine only follows ``package::`` for the packages in its own table, which lists OpenMMLab's.
    """
    internal(config_utils, 'MODULE2PACKAGE').setdefault('transmamba_mm', 'transmamba_mm')


def announce_models() -> None:
    """Let mmpretrain's ``list_models`` and ``get_model`` find our configs by their names.

    Their index lies in ``.mim`` where the package is installed, at the root of a bare checkout.
    """
    from mmpretrain.apis import ModelHub

    package = Path(__file__).parent
    roots = [root for root in (package / '.mim', package.parent) if (root / INDEX).is_file()]
    if roots and not ModelHub.has(ONE_OF_OURS):  # a reloaded package has announced them before
        ModelHub.register_model_index(roots[0] / INDEX, config_prefix=roots[0])


def silence_optional_imports() -> None:
    """Drop mmcv's warning that it was built without ``MultiScaleDeformableAttention``.

    mmpretrain imports it for a detector's sake; nothing here uses it.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def import_datasets_quietly() -> None:
    """Import mmpretrain's data sets without the line 'Could not import OneDL' on standard output.

    The maintained distribution announces an unused optional backend that way. It leaves
    out its data sets of questions where pycocotools are missing, which none of these needs (and
    beside which ``mmpretrain.models`` does not import on transformers 5).
    """
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module('mmpretrain.datasets')
    for name in VQA_DATASETS:
        importlib.import_module(f'mmpretrain.datasets.{name}')


def load_checkpoints_safely() -> None:
    """Make mmengine's Runner load and resume through :mod:`transmamba_mm.checkpoint`.

    On torch >= 2.6 upstream mmengine 0.10.7 cannot resume at all (``weights_only=True`` rejects the
    log history in its checkpoints), and the maintained distribution falls back to running whatever
    code the file brings. Either runs the text under ``meta.config`` as Python, to compare numbers
    of GPUs, so that text is left out. Our tools call this; importing the package does not.
    """
    from transmamba_mm.checkpoint import load_checkpoint

    def load(filename: str, map_location: str | None = None, **_) -> dict:
        checkpoint = load_checkpoint(filename, map_location or 'cpu')
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    for prefix in list(internal(CheckpointLoader, '_schemes')):
        CheckpointLoader.register_scheme(prefix, load, force=True)


def format_configs_once() -> None:
    """Let yapf format the same config once.

    mmengine's Runner asks for a config's text five times when a training begins, and again with
    every checkpoint; each takes yapf half a second or more, as long as a hundred steps of a small
    model. Our tools call this; importing the package does not.
    """
    from yapf.yapflib import yapf_api  # mmengine, too, imports it when a text is asked for

    format_code = internal(yapf_api, 'FormatCode')
    if hasattr(format_code, '__wrapped__'):
        return

    @lru_cache(maxsize=16)
    def formatted(text: str, style: tuple, options: tuple) -> tuple[str, bool]:
        return format_code(text, style_config=dict(style), **dict(options))

    @wraps(format_code)
    def once(text: str, style_config: dict, **options: Any) -> tuple[str, bool]:
        return formatted(text, tuple(style_config.items()), tuple(options.items()))

    yapf_api.FormatCode = once


def prepare_cpu_launch(cfg: Config) -> None:
    """Let ``torchrun`` train on CPU processes.

    mmengine's launcher calls ``torch.cuda.set_device`` and its Runner wraps the model for the
    device ``LOCAL_RANK``; CPU torch has neither. So the gloo group is made here, before the Runner,
    which then keeps it, and the wrapper gets no device.
    """
    if cfg.get('launcher') != 'pytorch' or torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'device_ids': None,
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    }


def leave_cpu_launch() -> None:
    """End a process of a CPU launch whose work is done; return at once in any other.

    The threads of gloo and of DDP may acquire Python's lock while the interpreter is being taken
    down. Python 3.11 answers by unwinding them, through C++ that must not be unwound, and the
    process aborts ("terminate called without an active exception") after all its work is done. So
    the group is taken down, exit handlers run and everything is flushed, and the interpreter is
    left as it is.
    """
    distributed = torch.distributed
    if not distributed.is_initialized() or distributed.get_backend() != 'gloo':
        return
    distributed.destroy_process_group()
    internal(atexit, '_run_exitfuncs')()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
