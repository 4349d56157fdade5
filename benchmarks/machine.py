"""Describe the machine of a benchmark, to store with its numbers."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from transmamba_mm.checks import COUNT, check
from transmamba_mm.errors import UserError
from transmamba_mm.version import __version__

CPUINFO = Path('/proc/cpuinfo')


def pick_device(name: str, threads: int | None) -> torch.device:
    """Return the device, and set torch's number of threads if one is given.

    Raises:
        UserError: There is no such device here.
    """
    if name == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch finds no CUDA device here; use --device cpu.')
    if threads is not None:
        check('the benchmark', '--threads', threads, COUNT)
        torch.set_num_threads(threads)
    return torch.device(name)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Name the processor, the number of threads and the versions."""
    processor = torch.cuda.get_device_name() if device.type == 'cuda' else _cpu_name()
    return {
        'device': device.type,
        'processor': processor,
        'instructions': torch.backends.cpu.get_cpu_capability(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
        'transmamba_mm': __version__,
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """One line of it, for titles."""
    count = machine['threads']
    threads = '' if machine['device'] == 'cuda' else f', {count} thread{"s" if count > 1 else ""}'
    return f'{machine["processor"]}{threads}, torch {machine["torch"]}'


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write ``values``, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + '\n')


def _cpu_name() -> str:
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()
