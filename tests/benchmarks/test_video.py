"""The benchmark of the data path runs and writes the documented files; times are not tested."""

import json

from tests.datasets.video.clips import write_clip
from tests.tools.command_line import call_module

TOOL = 'benchmarks.video.__main__'


def test_all_ways_in_one_run(tmp_path):
    for index in range(2):
        write_clip(tmp_path / f'{index}.mp4', 12)
    options = ['--frames', '2', '--size', '16', '--batch-size', '2', '--batches', '2']
    done = call_module(TOOL, tmp_path, *options, '--workers', '1', '--out', 'out', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '2 videos: clips of 2 frames, 16 pixels' in done.stdout
    ways = json.loads((tmp_path / 'out/video.json').read_text())['ways']
    names = ['decord', 'pyav', 'frames folder', 'cache, cold', 'cache, warm']
    assert [way['way'] for way in ways] == names
    for way in ways:
        assert way['way'] in done.stdout
        assert way['alone'] > 0 and way['loaded'] > 0 and way['step_ms'] > 0
        assert 0 <= way['waiting'] <= 1
