"""A user's mistake becomes one message and exit code 1; our own bugs keep their traceback."""

import argparse
import io
import sys

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import ConfigOptions, HelpFormatter, run


def fail(error: Exception):
    raise error


def test_user_error_prints_its_message_and_exits_with_one(capsys):
    with pytest.raises(SystemExit) as caught:
        run(lambda: fail(UserError('fix this')))
    assert caught.value.code == 'error: fix this'  # sys.exit(str): to stderr, exit code 1


@pytest.mark.parametrize(
    ('encoding', 'shown'), [('ascii', rb'\u2503 \u4e03 \udcff'), ('utf-8', '┃ 七 '.encode())]
)
def test_characters_that_a_terminal_lacks_are_escaped(encoding, shown, monkeypatch):
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(terminal, encoding))
    run(lambda: print('┃ 七 \udcff'))
    assert shown in terminal.getvalue()


def test_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv('TRANSMAMBA_TRACEBACK', '1')
    with pytest.raises(UserError):
        run(lambda: fail(UserError('fix this')))


def test_our_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    with pytest.raises(KeyError):
        run(lambda: {}['key'])


def test_help_ends_with_the_default_where_there_is_one():
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument('--jobs', type=int, default=0, help='processes')
    parser.add_argument('--sizes', nargs='+', default=[224, 384], help='pixels')
    parser.add_argument('--out', default='a.png', help='a file; default: beside the checkpoint')
    parser.add_argument('--config', help='a config')
    parser.add_argument('--fast', action='store_true', help='hurry')
    parser.add_argument('--options', nargs='+', default={}, help='changes')
    text = parser.format_help()
    assert 'processes (default: 0)' in text and 'pixels (default: 224 384)' in text
    assert text.count('(default') == 2


def test_an_option_without_a_value_is_named(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    assert parser.parse_args(['--cfg-options', 'a.b=3', 'c=']).cfg_options == {'a.b': 3, 'c': ''}
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a.b=3', 'train_cfg.max_iters'])
    assert 'train_cfg.max_iters=VALUE' in capsys.readouterr().err
