"""Which backend runs: asked for, forced, or found; and never in silence."""

import logging

import pytest
import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import select
from transmamba_mm.ops.backends.backend import Backend

CPU = torch.device('cpu')


@pytest.fixture
def choose(monkeypatch):
    """select_backend as in a fresh process, with a first choice that cannot be had."""
    broken = Backend('broken', None, available=lambda: (False, 'its compiler is on holiday'))
    monkeypatch.setitem(select.BACKENDS['scan'], 'broken', broken)
    monkeypatch.setitem(select.AUTO['scan'], 'cpu', ('broken',))
    monkeypatch.delenv(select.ENVIRONMENT, raising=False)
    select._select.cache_clear()
    select._availability.cache_clear()
    yield lambda name='auto', dtype=torch.float32: select.select_backend('scan', name, CPU, dtype)
    select._select.cache_clear()
    select._availability.cache_clear()


def test_auto_passes_over_what_cannot_be_had_and_says_so_once(choose, caplog):
    with caplog.at_level(logging.INFO, 'transmamba_mm'):
        assert choose().name == 'torch'
        assert choose().name == 'torch'
    assert [record.message for record in caplog.records] == [
        'scan backend broken is not used: its compiler is on holiday',
        'scan backend: torch (cpu, float32)',
    ]


def test_environment_takes_the_place_of_auto(choose, monkeypatch):
    monkeypatch.setenv(select.ENVIRONMENT, 'reference')
    assert choose().name == 'reference'
    assert choose('torch').name == 'torch'


def test_forcing_what_cannot_be_had_says_why_and_what_can(choose, monkeypatch):
    with pytest.raises(UserError, match=r'on holiday.*Usable here.*torch, reference'):
        choose('broken')
    monkeypatch.setenv(select.ENVIRONMENT, 'cuda_graphs')
    with pytest.raises(UserError, match=r"'cuda_graphs'.*no backend of that name.*torch"):
        choose()


def test_device_and_dtype_are_looked_at(choose, monkeypatch):
    elsewhere = Backend('elsewhere', None, devices=('cuda',))
    single = Backend('single', None, dtypes=(torch.float32,))
    monkeypatch.setitem(select.BACKENDS['scan'], 'elsewhere', elsewhere)
    monkeypatch.setitem(select.BACKENDS['scan'], 'single', single)
    monkeypatch.setitem(select.AUTO['scan'], 'cpu', ('elsewhere', 'single'))
    assert choose() is single
    assert choose(dtype=torch.float64).name == 'torch'
    with pytest.raises(UserError, match='runs on cuda, not on cpu'):
        choose('elsewhere')
    with pytest.raises(UserError, match='does not compute in float64'):
        choose('single', torch.float64)
