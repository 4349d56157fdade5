"""One teacher and one transfer, trained by the tools for a few steps, that the tests share."""

from pathlib import Path

import pytest

from tests.tools.command_line import TINY_STUDENT, run_tool, write_config, write_scratch


@pytest.fixture(scope='session')
def trained(tmp_path_factory) -> Path:
    """A folder with configs ``teachers.py``, ``transmamba.py``, ``scratch.py`` and work_dirs."""
    folder = tmp_path_factory.mktemp('trained')
    teacher = write_config(folder, 'teachers/deit-nano_digits.py')
    changes = f"student=dict({TINY_STUDENT}), teacher=dict(checkpoint='work_dirs/teachers')"
    transfer = write_config(folder, 'transmamba/vim-nano_deit-nano_digits.py', changes)
    write_scratch(folder, TINY_STUDENT)
    for config in (teacher, transfer):
        result = run_tool('train.py', config, cwd=folder)
        assert result.returncode == 0, result.stderr
    return folder
