"""Temporary files next to the files that they become. The next run in a folder removes those of killed runs.

On POSIX a process holds a lock (`flock`) on each temporary file while it writes it. The system releases the lock when
the process ends, however it ends. So a temporary file that can be locked is a leftover. Where there are no such locks,
on Windows and on some network file systems, a temporary file is a leftover after a day.
"""

import os
import secrets
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX, SUFFIX = ".impasto-", ".tmp"
LEFTOVER_AFTER_S = 24 * 3600.0

_cleaned: set[Path] = set()
_cleaning = threading.Lock()


@contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Give a new, empty file in a target's folder; it is removed at the end of the block if it is still there.

    The block may write to the file and rename it. A file that it puts in its place is not locked; `locked_again` locks
    it. The first call for a folder also does what `remove_leftovers` does.

    Raises:
        OSError: the file cannot be made.
    """
    remove_leftovers(target.parent)
    is_held = False
    while not is_held:
        path = _new_path(target)
        try:
            with _locked(path) as is_held:
                if is_held:
                    yield path
        finally:
            with suppress(OSError):
                path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder, once per folder and process.

    What cannot be read or removed stays. Other threads wait: on NFS a process could lock the files of its own threads.
    """
    with _cleaning:
        if folder not in _cleaned:
            _cleaned.add(folder)
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                        with suppress(OSError):
                            _remove_leftover(Path(entry.path))


def _new_path(target: Path) -> Path:
    """Return a name that is short whatever the length of the target's."""
    return target.with_name(f"{PREFIX}{zlib.crc32(os.fsencode(target.name)):08x}-{secrets.token_hex(8)}{SUFFIX}")


if sys.platform == "win32":  # where a file that is open cannot be renamed or removed

    @contextmanager
    def _locked(path: Path) -> Iterator[bool]:
        path.open("xb").close()
        yield True

    @contextmanager
    def locked_again(path: Path) -> Iterator[None]:
        """Do nothing: there are no locks."""
        yield

    def _remove_leftover(path: Path) -> None:
        if _is_old(path.lstat()):
            path.unlink()

else:

    @contextmanager
    def _locked(path: Path) -> Iterator[bool]:
        """Make a file and lock it for the block; yield False where another process took it for a leftover just now."""
        with path.open("xb") as file:
            yield _lock(file.fileno()) is not False and _is_at(path, file.fileno())

    @contextmanager
    def locked_again(path: Path) -> Iterator[None]:
        """Lock a temporary file for the block, where its writer put another file in its place, as safetensors does.

        Raises:
            OSError: the file is gone, or it cannot be opened.
        """
        descriptor = _open(path)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _remove_leftover(path: Path) -> None:
        """Remove a file that no process has locked.

        Raises:
            OSError: the file is gone, or it cannot be opened or removed.
        """
        descriptor = _open(path)
        try:
            lock = _lock(descriptor)
            is_leftover = _is_old(os.fstat(descriptor)) if lock is None else lock
            if is_leftover and _is_at(path, descriptor):
                path.unlink()
        finally:
            os.close(descriptor)

    def _open(path: Path) -> int:
        """Open a file for a lock: NFS locks only what may be written, and the file may be read-only.

        Raises:
            OSError: it cannot be opened.
        """
        flags = os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            return os.open(path, os.O_RDWR | flags)
        except PermissionError:
            return os.open(path, os.O_RDONLY | flags)

    def _lock(descriptor: int) -> bool | None:
        """Lock a file; return False where another process has locked it, None where the file system has no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _is_at(path: Path, descriptor: int) -> bool:
        """Tell whether a path still names an open file."""
        try:
            return os.path.samestat(path.lstat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False


def _is_old(status: os.stat_result) -> bool:
    return time.time() - status.st_mtime > LEFTOVER_AFTER_S
