"""Lock a work_dir for one training."""

import errno
import os
import socket
import time
from pathlib import Path
from typing import IO

from mmengine.config import Config

from transmamba_mm.errors import UserError

LOCK = '.training.lock'

#: Where launchers note the rank of a process.
RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


def lock_work_dir(cfg: Config) -> IO | None:
    """Keep other trainings out of ``cfg.work_dir`` as long as this process lives.

    The operating system holds the lock (``lockf``: by process, not by file as ``flock``, which
    workers that outlive their parent would hold), so that nothing is left of it when the process is
    killed. Over NFS it needs the lock service, as is usual; without one nothing is locked. The main
    process locks for all.

    Args:
        cfg: With ``work_dir`` and ``launcher``.

    Returns:
        The open file, to be kept; closed, it gives the lock back.

    Raises:
        UserError: Another training is there: names its process and host.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    if os.environ.get(RANKS.get(cfg.get('launcher'), ''), '0') != '0':
        return None
    file = Path(cfg.work_dir) / LOCK
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.open('a+')
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise UserError(
                f'{cfg.work_dir} is in use: another training runs there ({owner}). Wait for its '
                'end, stop it, or choose another --work-dir.'
            ) from error
        return None
    lock.truncate(0)
    lock.write(f'process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}')
    lock.flush()
    return lock
