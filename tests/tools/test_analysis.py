"""The analysis tools draw, and refuse what makes no sense."""

from matplotlib import image

from tests.tools.command_line import LEAF, call_tool


def test_browse_dataset(tmp_path):
    done = call_tool('analysis/browse_dataset.py', LEAF, '--out', 'batch.png', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Saved 64 images' in done.stdout
    assert image.imread(tmp_path / 'batch.png').std() > 0.1


def test_a_mistake_is_one_message(tmp_path):
    options = ['--fractions', '2', '--work-dir', 'study']
    done = call_tool('analysis/data_efficiency.py', LEAF, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == 'error: A fraction of the data is in (0, 1], not 2.0.'
