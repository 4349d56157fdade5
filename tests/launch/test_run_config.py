"""A data loader with any value in the config reaches preflight, which refuses it."""

from argparse import Namespace
from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.run_config import load_config

LEAF = Path(__file__).parents[2] / 'configs/transmamba/vim-nano_deit-nano_digits.py'


@pytest.mark.parametrize(
    ('key', 'value'),
    [('collate_fn', float('inf')), ('collate_fn', []), ('num_workers', {}), ('num_workers', 'x')],
)
def test_data_loader_that_cannot_be(tmp_path, key, value):
    options = {f'train_dataloader.{key}': value}
    args = Namespace(
        config=str(LEAF),
        method=None,
        cfg_options=options,
        work_dir=tmp_path,
        launcher='none',
        local_rank=0,
    )
    with pytest.raises(UserError, match=rf'train_dataloader\.{key}='):
        preflight(load_config(args), ())
