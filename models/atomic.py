"""Files that are there in full or not at all, and where they can be written."""

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from impasto.models.errors import ImpastoError, reason
from impasto.models.store import CACHE_VARIABLE, cache_dir
from impasto.models.temporary import locked_again, temporary_file

Failure = type[ImpastoError]


@contextmanager
def atomic_file(path: Path, *, durable: bool = False, failure: Failure = ImpastoError) -> Iterator[Path]:
    """Give a path in the same folder to write to; it becomes the file when the block ends without an error.

    Two processes that write one file leave one whole file. After an error, or Ctrl-C, the old file stays and nothing
    else does; `impasto.models.temporary` says what becomes of a killed process's file. The folder is made where it does
    not exist, a symbolic link is followed, and the permissions of a file that is replaced are kept. With ``durable``
    even a power cut leaves one whole file, the old or the new: the bytes are on the disk before the name is. It takes a
    moment, and what is checked against a hash on reading does without.

    Raises:
        ImpastoError: of the kind ``failure``: the folder cannot be made or the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_dir():
            _check_kind(path, target, failure)
        with temporary_file(target) as part:
            mode = (target if target.exists() else part).stat().st_mode  # a new file gets what the system gives it
            yield part
            with locked_again(part):
                part.chmod(mode)
                if durable:
                    _to_disk(part)
                part.replace(target)
            if durable and os.name == "posix":  # elsewhere a folder cannot be opened
                _to_disk(target.parent)
    except OSError as error:
        is_cache = target.is_relative_to(os.path.realpath(cache_dir()))
        advice = f"set {CACHE_VARIABLE} to another folder" if is_cache else "give another folder"
        raise failure(f"cannot write {path}: {reason(error)}; make room, or {advice}") from error


def write_atomically(path: Path, data: bytes, *, durable: bool = False, failure: Failure = ImpastoError) -> None:
    """Write a file as `atomic_file` does.

    Raises:
        ImpastoError: likewise.
    """
    with atomic_file(path, durable=durable, failure=failure) as part:
        part.write_bytes(data)


def check_extension(path: Path, allowed: Collection[str], failure: Failure = ImpastoError) -> None:
    """Refuse a file name with another extension, in any case, than those that are allowed.

    Raises:
        ImpastoError: of the kind that is given.
    """
    if path.suffix.lower() not in allowed:
        which = f"unknown extension {path.suffix}" if path.suffix else "it has no extension"
        raise failure(f"cannot write {path}: {which}; allowed are {', '.join(allowed)}")


def check_place(path: Path, failure: Failure = ImpastoError) -> None:
    """Refuse a path at which no file can be written, by creating another file in its folder and removing it again.

    Raises:
        ImpastoError: of the kind that is given: its folder is missing or not writable, it is a folder itself, a pipe, a
            socket or a device, or it is a file that is read-only.
    """
    try:
        os.fsencode(path)
    except ValueError as error:
        raise failure(f"cannot write {str(path)!r}: no file has such a name; give another name") from error
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise failure(f"cannot write {path}: it is a folder; give a file name")
        if not target.parent.is_dir():
            raise failure(f"cannot write {path}: there is no folder {path.parent}; create it first")
        _check_kind(path, target, failure)
        if target.exists() and not os.access(target, os.W_OK):
            raise failure(f"cannot write {path}: the file is read-only; give another name")
        with temporary_file(target):
            pass
    except OSError as error:
        raise failure(f"cannot write {path}: {reason(error)} in folder {path.parent}") from error


def _check_kind(path: Path, target: Path, failure: Failure) -> None:
    """Refuse to put a file in the place of a pipe, a socket or a device."""
    if target.exists() and not target.is_file():
        raise failure(f"cannot write {path}: a pipe, a socket or a device has that name; give the name of a file")


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a file system that cannot say is believed."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
