import gc

import pytest
from mmengine.runner import CheckpointLoader

import transmamba_mm  # noqa: F401  (makes mmpretrain importable beside CPU torch; see compat.py)
from transmamba_mm.compat import format_configs_once, load_checkpoints_safely


def pytest_collection_finish():
    """Leave what is imported out of garbage collections.

    Every data set of mmengine runs one when it is built: 0.8 seconds with all these modules.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def state_folder(tmp_path_factory):
    """A key of the tests' own, also for the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_STATE_HOME', str(tmp_path_factory.mktemp('state')))
        yield


@pytest.fixture(scope='session', autouse=True)
def configs_are_formatted_once():
    """As our tools do; trainings of two steps would mostly format their configs."""
    format_configs_once()


@pytest.fixture
def safe_loading(monkeypatch):
    """Load as our tools do, for the length of one test."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    load_checkpoints_safely()
