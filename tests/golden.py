"""Reads the numbers of the official models in ``tests/data/golden``."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / 'data' / 'golden'
#: (atol, rtol) per dtype, as the files' README states them for whole models.
TOLERANCES = {torch.float64: (1e-10, 0.0), torch.float32: (2e-5, 1e-4)}


class Golden:
    """One golden file: official state dict, inputs, outputs in both precisions."""

    def __init__(self, name: str) -> None:
        self.file = np.load(FOLDER / f'{name}.npz')

    @cached_property
    def meta(self) -> dict:
        return json.loads(str(self.file['meta']))

    @cached_property
    def state_dict(self) -> dict[str, Tensor]:
        return {
            key.removeprefix('sd/'): torch.from_numpy(self.file[key])
            for key in self.file.files
            if key.startswith('sd/')
        }

    def input(self, name: str, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(self.file[f'in/{name}']).to(dtype)

    def output(self, name: str, dtype: torch.dtype) -> Tensor:
        key = f'out/{name}' + ('__f64' if dtype == torch.float64 else '')
        return torch.from_numpy(self.file[key])

    def outputs(self) -> list[str]:
        """Names of all outputs."""
        names = [key.removeprefix('out/') for key in self.file.files if key.startswith('out/')]
        return [name for name in names if not name.endswith('__f64')]

    def check(self, name: str, actual: Tensor) -> None:
        """Compare with the recorded output of the same precision, shape included."""
        atol, rtol = TOLERANCES[actual.dtype]
        torch.testing.assert_close(actual, self.output(name, actual.dtype), atol=atol, rtol=rtol)
