"""The selected backend: requested, forced, or found; always logged."""

import logging

import pytest
import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import select
from transmamba_mm.ops.backends.backend import Backend

CPU = torch.device('cpu')


@pytest.fixture
def choose(monkeypatch):
    """select_backend as in a fresh process, with an unavailable first choice."""
    broken = Backend('broken', None, available=lambda: (False, 'its compiler is on holiday'))
    monkeypatch.setitem(select.BACKENDS['scan'], 'broken', broken)
    monkeypatch.setitem(select.AUTO['scan'], 'cpu', ('broken',))
    monkeypatch.delenv(select.ENVIRONMENT, raising=False)
    select._select.cache_clear()
    select._availability.cache_clear()
    yield lambda name='auto', dtype=torch.float32: select.select_backend('scan', name, CPU, dtype)
    select._select.cache_clear()
    select._availability.cache_clear()


def test_auto_skips_unavailable_backends_and_logs_it_once(choose, caplog):
    with caplog.at_level(logging.INFO, 'transmamba_mm'):
        assert choose().name == 'torch'
        assert choose().name == 'torch'
    (record,) = caplog.records
    assert record.levelname == 'WARNING'
    assert all(t in record.message for t in ('scan backend: torch (cpu, float32)', 'on holiday'))


def test_the_best_backend_and_a_named_one_are_no_warning(choose, caplog, monkeypatch):
    monkeypatch.setitem(select.AUTO['scan'], 'cpu', ('reference',))
    with caplog.at_level(logging.INFO, 'transmamba_mm'):
        assert choose().name == 'reference' and choose('torch').name == 'torch'
    assert [record.levelname for record in caplog.records] == ['INFO', 'INFO']


def test_a_default_is_logged_by_the_scan_that_uses_it(choose, caplog, monkeypatch):
    monkeypatch.setattr(select, '_default', 'auto')
    with caplog.at_level(logging.INFO, 'transmamba_mm'):
        select.set_default_backend('reference', CPU)
        assert not caplog.records  # a run's log file is not open yet
        assert choose().name == 'reference'
    assert len(caplog.records) == 1


def test_environment_takes_the_place_of_auto(choose, monkeypatch):
    monkeypatch.setenv(select.ENVIRONMENT, 'reference')
    assert choose().name == 'reference'
    assert choose('torch').name == 'torch'


def test_forcing_an_unavailable_backend_names_the_reason_and_the_others(choose, monkeypatch):
    with pytest.raises(UserError, match=r'on holiday.*Usable here.*torch, reference'):
        choose('broken')
    monkeypatch.setenv(select.ENVIRONMENT, 'cuda_graphs')
    with pytest.raises(UserError, match=r"'cuda_graphs'.*no backend of that name.*torch"):
        choose()


def test_device_and_dtype_are_checked(choose, monkeypatch):
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
