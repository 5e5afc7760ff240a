"""A lock between processes, by a file: who holds it is alone until it ends or dies."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.2


@contextmanager
def file_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of that path; wait while another process or thread does.

    The operating system lets go of it when a process dies. The file stays, because removing it would let two
    processes hold two locks of one name.

    Args:
        path: of the lock file, made where it does not exist.
        on_wait: called once, before waiting.

    Raises:
        OSError: the file cannot be opened, or the file system has no locks.
    """
    with path.open("a+b") as file:
        if not _try_lock(file.fileno()):
            if on_wait is not None:
                on_wait()
            while not _try_lock(file.fileno()):
                time.sleep(POLL_S)
        yield  # closing the file unlocks it


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
