"""predict_vqa.py as a user calls it: an answer, or one message that names the fault."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.apis.vqa_run import write_run
from tests.tools.command_line import run_tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp('run'))
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(folder / 'white.png')
    (folder / 'text.png').write_text('not an image')
    torch.save({'state_dict': {'student.head.weight': torch.ones(2)}}, folder / 'other.pth')
    (folder / 'empty.png').touch()
    return folder


def ask(folder, *arguments):
    return run_tool('predict_vqa.py', '--device', 'cpu', *arguments, cwd=folder)


def test_answers_every_question(folder):
    questions = ['Is there a red shape?', 'What color is the shape?']
    result = ask(folder, '--checkpoint', '.', '--image', 'white.png', '--question', *questions)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.strip().splitlines()
    assert [line.startswith(text) for line, text in zip(lines, questions, strict=True)] == [1, 1]


def test_unknown_words_are_printed_beside_the_answers(folder):
    command = ['--checkpoint', '.', '--image', 'white.png', '--question', 'Is there a zebra?']
    result = ask(folder, *command, '--question', 'Is there a circle?')
    assert result.returncode == 0, result.stderr
    assert [line.split('?')[0] for line in result.stdout.strip().splitlines()] == [
        'Is there a zebra',
        'Is there a circle',
    ]
    assert result.stderr.count('ocabulary') == 1 and ': zebra\n' in result.stderr


@pytest.mark.parametrize(
    'checkpoint, image, question, message',
    [
        ('.', 'text.png', 'What is it?', 'text.png cannot be read (it is no image'),
        ('.', 'empty.png', 'What is it?', 'empty.png cannot be read (it is empty'),
        ('.', 'absent.png', 'What is it?', 'absent.png cannot be read (No such file'),
        ('.', 'white.png', ' ', 'The question about white.png is empty'),
        ('.', 'white.png', 'What \udcff is it?', 'white.png is not valid UTF-8 text'),
        ('other.pth', 'white.png', 'What is it?', 'other.pth does not fit the MambaVQA'),
        ('absent.pth', 'white.png', 'What is it?', 'No checkpoint at absent.pth'),
    ],
)
def test_wrong_input_is_named(folder, checkpoint, image, question, message):
    result = ask(folder, '--checkpoint', checkpoint, '--image', image, '--question', question)
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout + result.stderr
    assert message in result.stderr.partition('error: ')[2]
