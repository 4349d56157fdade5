"""The C++ scan is built once, by however many processes, or the reason is given in one line."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from transmamba_mm.ops.backends import cpp, cpp_build, cpp_call
from transmamba_mm.ops.backends.cpp_build import BuildError, cache_directory, load_library

# Run from its path, the module starts in a blink: it needs nothing of the package.
PROBE = 'import runpy, sys; print(runpy.run_path(sys.argv[1])["load_library"]()._name)'

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get('CXX', ''), 'g++', 'clang++', 'c++'))),
    reason='there is no C++ compiler',
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TRANSMAMBA_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def use_compiler(tmp_path, monkeypatch):
    """Make $CXX a shell script."""

    def use(script):
        path = tmp_path / 'compiler'
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv('CXX', str(path))

    return use


def assert_unavailable(*words):
    """The library is refused with one line that holds the words, and nothing is left behind."""
    with pytest.raises(BuildError) as refusal:
        load_library()
    reason = str(refusal.value)
    assert all(word in reason for word in words) and '\n' not in reason, reason
    assert not list(cache_directory().glob('*.so'))


@needs_compiler
def test_eight_processes_build_once_and_all_load_it(tmp_path, cache, use_compiler):
    real, log = ' '.join(cpp_build._compiler()), tmp_path / 'log'
    use_compiler(f'case "$*" in *-dM*) ;; *) echo built >> {log};; esac\nexec {real} "$@"')
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', PROBE, cpp_build.__file__], stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    loaded = [process.communicate(timeout=300)[0].strip() for process in processes]
    (library,) = cache.glob('*.so')
    assert loaded == [str(library)] * 8
    assert log.read_text().count('built') == 1


def test_no_compiler(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    assert_unavailable('no-such-compiler', 'set CXX')


def test_broken_compiler(use_compiler):
    use_compiler('echo "error: the compiler is broken" >&2; exit 1')
    assert_unavailable('error: the compiler is broken')


def test_compiler_that_writes_rubbish(use_compiler):
    use_compiler('while [ $# -gt 1 ]; do [ "$1" = -o ] && echo rubbish > "$2"; shift; done')
    assert_unavailable('does not load')


def test_cache_directory_that_cannot_be_made(cache):
    cache.write_text('a file in its place')
    assert_unavailable(str(cache), 'TRANSMAMBA_CACHE')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_cache_directory(cache):
    cache.mkdir(mode=0o500)
    assert_unavailable(str(cache), 'TRANSMAMBA_CACHE')


def test_backend_passes_the_reason_on(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    cpp_call.kernels.cache_clear()
    available, reason = cpp.available()
    assert not available and 'no-such-compiler' in reason


@needs_compiler
def test_backend_that_computes_nonsense_is_refused(monkeypatch):
    honest = cpp._self_check()
    assert honest < 1e-5
    monkeypatch.setattr(cpp, '_self_check', lambda: float('nan'))
    available, reason = cpp.available()
    assert not available and 'self-check' in reason


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv('TRANSMAMBA_CACHE', '')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cache_directory() == tmp_path / 'transmamba_mm'
