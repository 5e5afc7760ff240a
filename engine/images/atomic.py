"""Files that are there in full or not at all."""

import os
import secrets
import shutil
from pathlib import Path

from impasto.engine.images.errors import ImageError, reason


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its place and then put it there; on any failure the old file stays and nothing else does.

    A symbolic link is followed, and the permissions of a file that is replaced are kept.

    Raises:
        ImageError: it cannot be written.
    """
    target = _target(path)
    temporary = _beside(target)
    try:
        _create(temporary, data)
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException as error:  # Ctrl-C as well
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ImageError(f"cannot write {path}: {reason(error)}") from error
        raise


def check_place(path: Path) -> None:
    """Refuse a path at which no file can be written, by creating a file beside it and removing it again.

    Raises:
        ImageError: its folder is missing or not writable, it is a folder itself, or it is a file that is read-only.
    """
    target = _target(path)
    if target.is_dir():
        raise ImageError(f"cannot write {path}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise ImageError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if target.exists() and not os.access(target, os.W_OK):
        raise ImageError(f"cannot write {path}: the file is read-only; give another name")
    temporary = _beside(target)
    try:
        _create(temporary, b"")
        temporary.unlink()
    except OSError as error:
        raise ImageError(f"cannot write {path}: {reason(error)} in folder {path.parent}") from error


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _beside(target: Path) -> Path:
    return target.with_name(f".impasto-{secrets.token_hex(8)}.tmp")


def _create(path: Path, data: bytes) -> None:
    """Write a new file, with the permissions that any new file gets."""
    with path.open("xb") as stream:
        stream.write(data)
