"""Curves come back from the log that mmengine writes, also after a resume."""

import json

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.study.scalars import read_scalars


def write(folder, entries):
    folder.joinpath('vis_data').mkdir(parents=True)
    text = '\n'.join(json.dumps(entry) for entry in entries)
    folder.joinpath('vis_data', 'scalars.json').write_text(text)


def test_curves_by_name(tmp_path):
    write(
        tmp_path / '20260101_000000',
        [{'loss': 2.0, 'step': 20}, {'accuracy/top1': 50.0, 'step': 20}],
    )
    curves = read_scalars(tmp_path)
    assert curves['loss'][0].tolist() == [20]
    assert curves['accuracy/top1'][1].tolist() == [50.0]
    assert 'step' not in curves


def test_a_resumed_training_is_one_curve(tmp_path):
    write(tmp_path / '20260101_000000', [{'loss': 2.0, 'step': 20}, {'loss': 1.5, 'step': 40}])
    write(tmp_path / '20260101_000100', [{'loss': 1.4, 'step': 40}, {'loss': 1.0, 'step': 60}])
    steps, values = read_scalars(tmp_path)['loss']
    assert steps.tolist() == [20, 40, 60]
    assert values.tolist() == [2.0, 1.4, 1.0]


def test_no_log(tmp_path):
    with pytest.raises(UserError, match='holds no log'):
        read_scalars(tmp_path)


def test_a_line_that_was_cut_by_a_kill_does_not_matter_and_a_garbled_one_is_named(tmp_path):
    file = tmp_path / 'run/vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "st')
    assert read_scalars(tmp_path)['loss'][1].tolist() == [2.0]
    file.write_text('{"loss": 2.0}\n{"loss": 1.0, "step": 2}\n')
    with pytest.raises(UserError, match=r'scalars\.json, line 1'):
        read_scalars(tmp_path)
