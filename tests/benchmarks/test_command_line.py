"""The benchmarks run, and write the documented files; times are not tested."""

import json
import math

from matplotlib import image

from tests.tools.command_line import ROOT, call_module

CONFIG = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'


def results(folder, name):
    return json.loads((folder / name).read_text())


def check_png(path):
    assert image.imread(path).std() > 0.02


def test_scan(tmp_path):
    options = ['--shapes', '1x2x4x6x1', '--seconds', '0.01', '--all', '--out', 'out']
    done = call_module('benchmarks.scan.__main__', *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '1·(2·4)·6·1' in done.stdout and 'unbind loop' in done.stdout
    values = results(tmp_path / 'out', 'scan.json')
    assert values['machine']['threads'] == 1
    assert [shape['shape']['length'] for shape in values['shapes']] == [6]
    for shape in values['shapes']:
        assert shape['floor']['forward'] > 0 and shape['floor']['both'] > 0
        ran = {row['name']: row for row in shape['rows'] if not row['note']}
        assert {'torch', 'reference', 'unbind loop', 'slicing loop'} <= set(ran)
        for row in ran.values():
            assert max(row['errors'].values()) < 1e-5
            assert 0 < row['forward']['min'] <= row['forward']['median']
            for part in ('forward', 'both'):
                for ratio in ('speedup_reference', 'speedup_unbind', 'above_floor'):
                    assert 0 < row[f'{part}_{ratio}'] < math.inf
    check_png(tmp_path / 'out/scan.png')


def test_a_mistake_is_one_message(tmp_path):
    done = call_module('benchmarks.scan.__main__', '--shapes', '8x384', cwd=tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.startswith("error: '8x384' is no shape of a scan: write BxDxLxN")


def test_model(tmp_path):
    options = ['--sizes', '16', '8', '--train', '--batch-size', '2', '--seconds', '0.02']
    done = call_module('benchmarks.model.__main__', CONFIG, *options, '--out', 'out', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Forward, crossover' in done.stdout
    values = results(tmp_path / 'out', 'model.json')
    assert set(values['crossover']) == {'batch', 'step'}
    assert [(s['size'], s['tokens']) for s in values['sizes']] == [(8, 16), (16, 64)]
    for size in values['sizes']:
        assert 0 < size['forward_ratio'] < math.inf and 0 < size['step_ratio'] < math.inf
        assert 'attention' in size['costs']['teacher']['attention']
        for cost in size['costs'].values():
            assert cost['flops'] > cost['parameters'] > 0
            assert cost['latency']['min'] > 0 and cost['images_per_second'] > 0
    check_png(tmp_path / 'out/model.png')


def test_blocks(tmp_path):
    options = ['--blocks', '5', '9', '--batch-size', '2', '--seconds', '0.01', '--out', 'out']
    done = call_module('benchmarks.model.__main__', CONFIG, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = results(tmp_path / 'out', 'blocks.json')
    assert [block['tokens'] for block in values['blocks']] == [5, 9]
    assert all(0 < block['both_ratio'] < math.inf for block in values['blocks'])
    assert 'scaled_dot_product' in values['attention']
