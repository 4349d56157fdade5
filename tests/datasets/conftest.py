from pathlib import Path

import pytest

from transmamba_mm.datasets.fashion_mnist import ROOTS, find_files
from transmamba_mm.errors import UserError


@pytest.fixture(scope='module')
def fashion_mnist() -> Path:
    """The folder with the real files."""
    try:
        return find_files(ROOTS)
    except UserError as error:
        pytest.skip(f'the files of Fashion-MNIST are not there: {error}')
