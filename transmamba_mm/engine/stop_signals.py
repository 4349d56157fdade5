"""Finish the current step when the process receives a stop signal."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from types import FrameType

#: Ctrl-C; what schedulers, ``kill`` and ``timeout`` send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: Seconds between two checks of a parent; a launcher may send the same Ctrl-C twice within them.
PATIENCE = 1.0


def outlive_a_stop() -> None:
    """Let this process, a worker that loads data, end by its parent's SIGTERM or with it.

    A scheduler sends SIGTERM to all processes of a job; the last step may still need a batch.
    torch's own handler, in whose place this stands, ends a worker by anybody's. Where the sender
    is unknown (macOS, Windows) that handler stays. A worker whose parent was killed would wait for
    ever for somebody to take its batches, since its siblings keep their pipes open.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigtimedwait'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parent = multiprocessing.parent_process()
    number = os.getppid() if parent is None or parent.pid is None else parent.pid
    threading.Thread(target=_end_with, args=(number,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        if hasattr(signal, 'sigtimedwait'):
            received = signal.sigtimedwait({signal.SIGTERM}, PATIENCE)
            if received is not None and received.si_pid == parent:
                break
        else:
            time.sleep(PATIENCE)
    os._exit(0)


class StopSignals:
    """Remembers SIGINT and SIGTERM instead of obeying them at once.

    A second SIGINT, a second later, ends the process as usual.

    Attributes:
        received (int): Number of the signal, 0 while there is none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._at = 0.0
        self._previous: dict[int, object] = {}

    def listen(self) -> None:
        """Begin; only the main thread of a process can."""
        if threading.current_thread() is threading.main_thread():
            self._pid = os.getpid()
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}

    def ignore(self) -> None:
        """Restore the handlers from before ``listen``."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def leave(self, number: int) -> None:
        """End this process by the signal, so that its parent gets the reason."""
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _note(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        again = self.received == number == signal.SIGINT
        if again and time.monotonic() - self._at > PATIENCE:
            self.leave(number)
        if not self.received:
            self.received, self._at = number, time.monotonic()
