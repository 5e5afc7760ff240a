"""Files that are there in full or not at all, and where they can be written."""

import errno
import os
import secrets
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from impasto.models.errors import ImpastoError, reason
from impasto.models.store import CACHE_VARIABLE, cache_dir

Failure = type[ImpastoError]


@contextmanager
def atomic_file(path: Path, *, durable: bool = False, failure: Failure = ImpastoError) -> Iterator[Path]:
    """Give a path in the same folder to write to; it becomes the file when the block ends without an error.

    Two processes that write one file leave one whole file. After an error, or Ctrl-C, the old file stays and nothing
    else does. The folder is made where it does not exist, a symbolic link is followed, and the permissions of a file
    that is replaced are kept. With ``durable`` even a power cut leaves one whole file, the old or the new: the bytes
    are on the disk before the name is. It takes a moment, and what is checked against a hash on reading does without.

    Raises:
        ImpastoError: of the kind ``failure``: the folder cannot be made or the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    part = _temporary(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.open("xb").close()
        mode = (target if target.exists() else part).stat().st_mode  # a new file gets what the system gives it
        yield part
        part.chmod(mode)
        if durable:
            _to_disk(part)
        part.replace(target)
        if durable and os.name == "posix":  # elsewhere a folder cannot be opened
            _to_disk(target.parent)
    except OSError as error:
        raise failure(f"cannot write {path}: {reason(error)}; {_advice(target)}") from error
    finally:
        with suppress(OSError):
            part.unlink()


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
        ImpastoError: of the kind that is given: its folder is missing or not writable, it is a folder itself, or it is
            a file that is read-only.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise failure(f"cannot write {path}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise failure(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if target.exists() and not os.access(target, os.W_OK):
        raise failure(f"cannot write {path}: the file is read-only; give another name")
    temporary = _temporary(target)
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as error:
        raise failure(f"cannot write {path}: {reason(error)} in folder {path.parent}") from error


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left next to a file; nobody else may be writing the file now."""
    target = Path(os.path.realpath(path))
    for part in target.parent.glob(f"{_prefix(target)}*.tmp"):
        part.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")


def _prefix(target: Path) -> str:
    """Return how temporary files of a target begin; short, whatever the length of its name."""
    return f".impasto-{zlib.crc32(os.fsencode(target.name)):08x}-"


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


def _advice(target: Path) -> str:
    if target.is_relative_to(os.path.realpath(cache_dir())):
        return f"make room, or set {CACHE_VARIABLE} to another folder"
    return "make room, or give another folder"
