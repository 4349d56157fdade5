"""Merge a config file and command-line arguments into a config for a Runner."""

import argparse
import os
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from transmamba_mm.launch.cli import add_config_options
from transmamba_mm.launch.data_classes import fill_num_classes
from transmamba_mm.launch.method import add_method_argument
from transmamba_mm.launch.read_config import read_config


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that training and testing share; the same as mmpretrain's tools."""
    add_method_argument(parser)
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision; bfloat16 on a CPU'
    )
    add_config_options(parser, ': train_cfg.max_epochs=10 model.layer_map="[0,1,2]"')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='set by dist_*.sh and slurm_train.sh',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the shared arguments to it.

    The work_dir comes from the command line, else from the config, else it is
    ``work_dirs/<name of the config>``, with ``-<method>`` for a method that is not the config's
    own. ``--cfg-options`` have the last word. A ``num_classes`` that is None becomes the data's.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options, args.method)
    if args.launcher != 'none':
        cfg.launcher = args.launcher
    cfg.setdefault('launcher', 'none')
    fill_num_classes(cfg)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(cfg.filename).stem}'
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(cfg.get(name), dict):
            cfg[name] = _with_defaults(cfg[name])
    return cfg


def _with_defaults(dataloader: ConfigDict) -> ConfigDict:
    """Fill in the dataloader defaults that mmpretrain sets in its tools, not its configs."""
    workers = dataloader.get('num_workers', 0)
    filled = ConfigDict(
        {
            'pin_memory': torch.cuda.is_available(),
            'persistent_workers': isinstance(workers, int) and workers > 0,
            'collate_fn': {'type': 'default_collate'},
            **dataloader,
        }
    )
    # A config inherited by package name carries its scope, which the Runner would hand to the
    # function as an argument.
    if isinstance(filled.collate_fn, dict):  # preflight refuses other non-callables
        filled.collate_fn.pop('_scope_', None)
    return filled
