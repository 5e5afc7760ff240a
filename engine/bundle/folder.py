"""The folder of a bundle: what may be replaced by one, and how."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from impasto.engine.bundle import manifest
from impasto.models.errors import ImpastoError, reason


def check_folder(folder: Path, *, replace: bool) -> None:
    """Check that a bundle may be written to a folder: there is none, or it is empty, or it is a bundle to replace.

    Raises:
        ImpastoError: the folder contains anything that is not of a bundle, or a bundle that is not to be replaced.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ImpastoError(f"cannot write {folder}: it is a file; give a folder that does not exist")
    if not any(folder.iterdir()):
        return
    for path in _other_files(folder):
        raise ImpastoError(
            f"cannot write {folder}: it contains other files, such as {path.name}; give a folder that does not exist"
        )
    if not replace:
        raise ImpastoError(
            f"cannot write {folder}: it is a bundle already; give another folder, or --force to replace it"
        )


def put(part: Path, folder: Path) -> None:
    """Rename a complete folder, in place of an older one, which is put back if that fails.

    Args:
        part: the folder, in a temporary folder beside the other.
        folder: its name.

    Raises:
        ImpastoError: the older one cannot be deleted.
        OSError: the folder cannot be renamed.
    """
    part.chmod(0o777 & ~_umask())
    if not folder.is_dir():
        part.rename(folder)
        return
    old = part.parent.with_name(f"{part.parent.name}-old")  # it outlives the temporary folder
    folder.rename(old)
    try:
        part.rename(folder)
    except BaseException:
        _put_back(old, folder)
        raise
    try:
        shutil.rmtree(old)
    except OSError as error:
        raise ImpastoError(
            f"wrote {folder}, but cannot delete the bundle that it replaces, {old}: {reason(error)}; delete that folder"
        ) from error


def _put_back(old: Path, folder: Path) -> None:
    try:
        old.rename(folder)
    except OSError as error:
        raise ImpastoError(
            f"cannot replace {folder}: {reason(error)}; the bundle that was there is {old}: rename it"
        ) from error


def _other_files(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder and is not of a bundle: the manifest, the files that it lists, and their folders."""
    try:
        record = manifest.read_any_version(folder)
        own = {folder / name for name in (manifest.NAME, *record["files"])}
    except (ImpastoError, LookupError, TypeError):
        own = set()
    folders = {parent for path in own for parent in path.parents}
    for path in folder.rglob("*"):
        if path not in own and not (path in folders and path.is_dir() and not path.is_symlink()):
            yield path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
