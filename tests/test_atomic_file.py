"""A file is the old one or the new one, whatever happens while it is written."""

import os
import resource
import subprocess

import pytest

from tests.forked import in_fork, partial_files
from transmamba_mm.atomic_file import remove_partial_files, write_atomically
from transmamba_mm.errors import UserError


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path):
    file = tmp_path / 'deep/down/iter_1.pth'
    write_atomically(file, b'old')
    write_atomically(file, b'new')
    assert file.read_bytes() == b'new' and os.listdir(file.parent) == ['iter_1.pth']


def write_on_a_full_disk(file, size):
    """Files may not grow beyond 1,000 bytes: a real OSError of the system."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with pytest.raises(UserError, match=rf'{file}.*{size:,} bytes'):
        write_atomically(file, b'x' * size)


def test_no_room_names_the_file_and_the_bytes_and_leaves_the_old_file(tmp_path):
    file = tmp_path / 'iter_1.pth'
    write_atomically(file, b'old')
    assert in_fork(write_on_a_full_disk, file, 1234567) == 0
    assert file.read_bytes() == b'old' and not partial_files(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / 'disk'
    place.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip('only root can mount a file system')
    yield place
    subprocess.run(['umount', str(place)], check=True)


def test_a_full_disk(small_disk):
    file = small_disk / 'iter_1.pth'
    write_atomically(file, b'old')
    with pytest.raises(UserError, match=rf'{file}.*No space left.*100,000 bytes.*free'):
        write_atomically(file, bytes(100_000))
    assert file.read_bytes() == b'old' and not partial_files(small_disk)


def killed_while_writing(file):
    os.fsync = lambda _: os.kill(os.getpid(), 9)  # all is written, nothing is renamed yet
    write_atomically(file, b'new')


def test_a_kill_leaves_the_old_file_and_what_can_be_cleared_away(tmp_path):
    file = tmp_path / 'iter_1.pth'
    write_atomically(file, b'old')
    assert in_fork(killed_while_writing, file) == -9
    assert file.read_bytes() == b'old' and len(partial_files(tmp_path)) == 1
    remove_partial_files(tmp_path)
    assert os.listdir(tmp_path) == ['iter_1.pth']
