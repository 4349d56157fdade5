#!/usr/bin/env python3
"""Check that the requirements and pins resolve on every Python from 3.10 to 3.13 found here.

usage: .ci/check_pins.py [constraints.txt]

Pip resolves against its index alone: no constraints, local wheels or further indexes from the
environment or pip.conf. Nothing is installed. Wheels of torch and CUDA take gigabytes, so pip reads
their metadata through range requests (``fast-deps``) where the index does not serve it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ('3.10', '3.11', '3.12', '3.13')
#: Files of requirements/ that README installs together; upstream's OpenMMLab is checked once only.
ALL = ('runtime', 'mminstall', 'tests', 'lint')
UPSTREAM = ('runtime', 'mminstall-upstream')
#: Settings that would add packages or versions to those of the index.
IGNORED = ('PIP_CONSTRAINT', 'PIP_EXTRA_INDEX_URL', 'PIP_FIND_LINKS', 'PIP_NO_INDEX')


def environment() -> dict[str, str]:
    """The environment without pip's configuration, apart from its index and certificates."""
    clean = {key: value for key, value in os.environ.items() if key not in IGNORED}
    for key in ('index-url', 'cert'):
        command = [sys.executable, '-m', 'pip', 'config', 'get', f'global.{key}']
        setting = subprocess.run(command, capture_output=True, text=True).stdout.strip()
        if setting:
            clean.setdefault(f'PIP_{key.replace("-", "_").upper()}', setting)
    return {**clean, 'PIP_CONFIG_FILE': os.devnull, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}


def find_python(version: str) -> str | None:
    """Return an interpreter of ``version`` (3.11) from PATH or pyenv; a shim may run nothing."""
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'))
    found = [shutil.which(f'python{version}'), *pyenv.glob(f'versions/{version}.*/bin/python')]
    for python in filter(None, found):
        if subprocess.run([python, '-c', ''], capture_output=True).returncode == 0:
            return str(python)
    return None


def resolve(pip: Path, python: str, names: tuple[str, ...], pins: str, env: dict) -> str:
    """Return pip's errors; empty when ``names`` of requirements/ can be installed together."""
    command = [str(pip), '--python', python, 'install', '--dry-run', '--ignore-installed']
    command += ['--quiet', '--use-feature=fast-deps', '--constraint', pins]
    for name in names:
        command += ['--requirement', str(ROOT / f'requirements/{name}.txt')]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    return (done.stderr.strip() or f'exit code {done.returncode}') if done.returncode else ''


def main() -> None:
    """Resolve everything on each Python, side by side; exit with 1 if any fails."""
    pins = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / 'requirements/constraints.txt')
    env = environment()
    pythons = {version: find_python(version) for version in VERSIONS}
    jobs = [(version, ALL) for version, python in pythons.items() if python]
    jobs += [(version, UPSTREAM) for version, _ in jobs[:1]]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        pip = Path(folder, 'bin/pip')
        # pip before 23.3 downloads wheels whole
        subprocess.run([pip, 'install', '--quiet', 'pip>=25'], env=env, check=True)
        errors = [*pool.map(lambda job: resolve(pip, pythons[job[0]], job[1], pins, env), jobs)]
    for (version, names), error in zip(jobs, errors, strict=True):
        print(f'Python {version}, {" ".join(names)}: {"FAILS" if error else "resolves"}')
        if error:
            print(error)
    for version in (version for version, python in pythons.items() if not python):
        print(f'Python {version}: not found here, not checked')
    print(f'{errors.count("")} of {len(jobs)} resolve')
    sys.exit(int(not errors or any(errors)))


if __name__ == '__main__':
    main()
