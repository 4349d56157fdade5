"""A label outside the head's classes is reported as such."""

import pytest

from tests.engine.tiny_run import Samples, tiny_runner
from transmamba_mm.engine import LabelRangeHook
from transmamba_mm.errors import UserError


@pytest.mark.parametrize('label', [4, -1])
def test_names_label_sample_and_classes(tmp_path, label):
    runner = tiny_runner(tmp_path, LabelRangeHook(), dataset=Samples(label))
    with pytest.raises(
        UserError, match=rf'Label {label} of image_5\.png \(train data\).*num_classes=4'
    ):
        runner.train()


def test_labels_in_range_pass(tmp_path):
    runner = tiny_runner(tmp_path, LabelRangeHook(), dataset=Samples(3))
    runner.train()
    assert runner.iter == 8
