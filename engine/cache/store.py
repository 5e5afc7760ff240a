"""Folders of the user's cache in which runs keep results for later runs. Deleting any file there only costs time.

A run does not fail because the cache cannot be read or written, or holds broken files.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from impasto.models.atomic import atomic_file
from impasto.models.store import cache_dir

DISABLE_VARIABLE = "IMPASTO_NO_CACHE"
_LOG = logging.getLogger(__name__)
_SPARED_S = 3600.0  # another process may still be writing a file as young as this, or the entry that names it
Found = TypeVar("Found")


def enabled() -> bool:
    """Return whether runs use the cache: yes, unless IMPASTO_NO_CACHE is set to a non-empty text."""
    return not os.environ.get(DISABLE_VARIABLE)


def key_of(*parts: object) -> str:
    """Return a file name, a hash of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


@contextmanager
def ignore_errors(action: str) -> Iterator[None]:
    """Log an error of the block and continue after it. Broken files may raise any exception.

    Args:
        action: for the log, such as "use the graph KEY".
    """
    try:
        yield
    except Exception as error:
        _LOG.debug("cannot %s: %s: %s", action, type(error).__name__, error)


@dataclass(frozen=True)
class Store:
    """A folder of entries by key. Above a size limit, the least recently used entries are deleted.

    Attributes:
        name: name of the folder.
        suffix: extension of an entry's file.
        limit_bytes: maximum size of all entries together.
        files_of: returns the files that belong to an entry, which entries may share; by default the entry's file alone.
    """

    name: str
    suffix: str
    limit_bytes: int
    files_of: Callable[[Path], Collection[str]] = lambda entry: (entry.name,)

    @property
    def folder(self) -> Path:
        """The folder of the entries, which may not exist."""
        return cache_dir() / self.name

    def find(self, key: str, read: Callable[[Path], Found]) -> Found | None:
        """Return an entry and mark it as used; None if there is none. A broken entry is deleted.

        Args:
            key: the key of the entry.
            read: returns the content of an entry's file, or raises an exception if the file is broken or outdated.
        """
        path = self._path(key)
        if not enabled() or not path.is_file():
            return None
        found = None
        with ignore_errors(f"use {path}"):
            found = read(path)
        if found is None:
            _delete(path)
        else:
            with suppress(OSError):
                os.utime(path)
        return found

    def put(self, key: str, write: Callable[[Path], object]) -> None:
        """Write an entry completely or not at all, and delete others above the limit. Errors are logged and ignored.

        Args:
            key: the key of the entry.
            write: writes the content to a given path.
        """
        if enabled():
            with ignore_errors(f"keep {self._path(key)}"):
                with atomic_file(self._path(key)) as part:
                    write(part)
                self._trim()

    def put_json(self, key: str, value: object) -> None:
        """Write an entry of plain values, as `put` does."""
        self.put(key, lambda part: part.write_text(json.dumps(value), encoding="utf-8"))

    def size_bytes(self) -> int:
        """Return the size of all files of the folder."""
        return sum(path.stat().st_size for path in self.folder.glob("**/*") if path.is_file())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

    def _trim(self) -> None:
        """Delete the entries above the limit, least recently used first, and old files that no entry names."""
        used_s = {entry: entry.stat().st_mtime for entry in self.folder.glob(f"*{self.suffix}")}
        named, total = set[str](), 0
        for entry in sorted(used_s, key=used_s.__getitem__, reverse=True):
            with ignore_errors(f"read {entry}"):
                files = set(self.files_of(entry)) - named
                total += sum((self.folder / name).stat().st_size for name in files)
                if total <= self.limit_bytes:
                    named |= files
                    continue
            _delete(entry)
        for path in self.folder.iterdir():
            if path not in used_s and path.name not in named and time.time() - path.stat().st_mtime > _SPARED_S:
                _delete(path)


def _delete(path: Path) -> None:
    """Delete a file or folder; one that cannot be deleted stays."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
