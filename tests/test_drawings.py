"""docs/drawings.py draws the pictures of docs/method.md."""

import importlib.util
import re

import numpy as np
from PIL import Image

from tests.tools.command_line import ROOT


def test_every_picture_of_the_page_is_drawn(tmp_path):
    spec = importlib.util.spec_from_file_location('drawings', ROOT / 'docs/drawings.py')
    drawings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawings)
    drawings.main([str(tmp_path)])
    names = re.findall(r'\(images/(\S+\.png)\)', (ROOT / 'docs/method.md').read_text())
    assert names and sorted(names) == sorted(file.name for file in tmp_path.iterdir())
    for name in names:
        assert (ROOT / 'docs/images' / name).is_file()
        drawn = np.asarray(Image.open(tmp_path / name).convert('L'))
        assert (drawn < 200).mean() > 0.005  # ink
