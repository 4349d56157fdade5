"""Sign the user's own configs, so that only those are executed.

A config is Python, and a folder with a checkpoint may come from anybody. So a config that is only
found, and not named, is executed only if a run or an export of this user wrote it: those sign what
they write with a key that is made once, in the user's state folder, and that only the user can
read. The signature is the config's last line and covers all others. A work_dir may be moved, copied
or taken to another machine together with the key; a config that another user wrote, or that was
changed afterwards, is not executed unless it is named.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.runner import Runner

SIGNATURE = b'# signed: '


def sign_config(config: str | Path) -> None:
    """Sign a config that the user's own run or export has just written, as its last line.

    Without a key, and where none can be made, it stays unsigned, and a warning is logged.
    """
    try:
        key = _key(make=True)
    except OSError as error:
        print_log(
            f'{config} is not signed ({error}): tools that find it beside a checkpoint will ask '
            'for --config.',
            'current',
        )
        return
    content, _ = _split(Path(config).read_bytes())
    Path(config).write_bytes(content + SIGNATURE + _sign(content, key) + b'\n')


@master_only
def sign_dumped(runner: Runner) -> None:
    """Sign the config that a Runner has written into its work_dir when it was built."""
    name = os.path.basename(runner.cfg.filename or f'{runner.timestamp}.py')
    if name.endswith('.py'):
        sign_config(Path(runner.work_dir) / name)


def is_own_config(config: str | Path) -> bool:
    """Whether this user's run or export wrote the config, and it is unchanged."""
    content, signature = _split(Path(config).read_bytes())
    try:
        return hmac.compare_digest(_sign(content, _key()), signature)
    except OSError:
        return False


def key_file() -> Path:
    """Path of the user's key; OSError for a user without a home."""
    try:
        state = os.environ.get('XDG_STATE_HOME') or Path.home() / '.local/state'
    except RuntimeError as error:
        raise FileNotFoundError(f'{error} Set XDG_STATE_HOME.') from error
    return Path(state) / 'transmamba_mm' / 'config.key'


def _sign(content: bytes, key: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).hexdigest().encode()


def _split(content: bytes) -> tuple[bytes, bytes]:
    """A config without its signature, and that; an empty one if its last line is none."""
    lines = content.rstrip().split(b'\n')
    if lines[-1].startswith(SIGNATURE):
        return b''.join(line + b'\n' for line in lines[:-1]), lines[-1].removeprefix(SIGNATURE)
    return content.rstrip() + b'\n', b''


def _key(make: bool = False) -> bytes:
    """The user's key.

    Raises:
        OSError: There is none, and none can be made; others may read it.
    """
    file = key_file()
    if make and not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f'{file.name}.{os.getpid()}')
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as opened:
            opened.write(secrets.token_bytes(32))
        try:
            os.link(draft, file)  # unlike a rename, it leaves the key of another process alone
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if os.name == 'posix' and file.stat().st_mode & 0o077:
        raise PermissionError(f'others may read {file}: chmod 600 it, or delete it')
    return file.read_bytes()
