"""The table of students can be printed by anybody."""

import re

from tests.tools.command_line import call_module


def test_table_of_one_family(tmp_path):
    result = call_module(
        'benchmarks.count_students', '--students', 'Vim', '--img-size', '32', cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    rows = re.findall(r'Vim (\w+)\D+([\d.]+)\D+([\d.]+)\D+(\d)', result.stdout)
    assert [name for name, *_ in rows] == ['micro', 'tiny', 'small', 'base']
    # The official Vim-T has 7 M parameters, its head of 1,000 classes included.
    assert abs(float(rows[1][1]) - 7.0) < 0.25
    assert all(directions == '2' for *_, directions in rows)
    sizes = [float(flops) for _, _, flops, _ in rows]
    assert sizes == sorted(sizes) and sizes[1] > 0
