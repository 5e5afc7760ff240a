"""What a run leaves for the next one, in folders of the user's cache. Deleting any of it only costs time.

A run goes on as if nothing had been kept where the cache cannot be read or written, or holds something broken.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from impasto.models.atomic import atomic_file
from impasto.models.store import cache_dir

DISABLE_VARIABLE = "IMPASTO_NO_CACHE"
GRAPHS, TARGETS, NETWORK_FACTS, MEMORY = "graphs", "targets", "network-facts", "memory"
LIMITS_BYTES = {GRAPHS: 1 << 30, TARGETS: 512 << 20, NETWORK_FACTS: 1 << 20, MEMORY: 1 << 20}
_LOG = logging.getLogger(__name__)
_SPARED_S = 3600.0  # another process may be about to refer to a file as young as this


def enabled() -> bool:
    """Return whether runs leave anything: yes, unless IMPASTO_NO_CACHE is set to anything but nothing."""
    return not os.environ.get(DISABLE_VARIABLE)


def folder(name: str) -> Path:
    """Return the folder of one kind of entries, which need not exist."""
    return cache_dir() / name


def key_of(*parts: object) -> str:
    """Return a file name that stands for plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


class Tolerant:
    """A block that may fail to read or write the cache: what comes after it goes on.

    Whatever is in the cache may be broken in any way, so every exception counts; Ctrl-C and its kind are none.
    """

    def __init__(self, what: str) -> None:
        """Take what is tried, for the log."""
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            _LOG.debug("cannot %s: %s: %s", self._what, type(error).__name__, error)
        return isinstance(error, Exception)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        ImpastoError: it cannot be written.
    """
    with atomic_file(path) as part:
        part.write_bytes(content)


def touch(path: Path) -> None:
    """Mark an entry as used now, so that others are dropped before it."""
    with suppress(OSError):
        os.utime(path)


def drop_oldest(entries: Iterable[Path], limit_bytes: int) -> None:
    """Delete the files that were not used for longest until the rest fits; files that cannot be deleted stay."""
    total = 0
    for path, size, _ in sorted(_stats(entries), key=lambda item: item[2], reverse=True):
        total += size
        if total > limit_bytes:
            with suppress(OSError):
                path.unlink()


def drop_unreferenced(entries: Iterable[Path], referenced: set[str]) -> None:
    """Delete files of other names than those, unless they are young."""
    now = time.time()
    for path, _, used_s in _stats(entries):
        if path.name not in referenced and now - used_s > _SPARED_S:
            with suppress(OSError):
                path.unlink()


def size_bytes() -> int:
    """Return how much is kept."""
    return sum(size for name in LIMITS_BYTES for _, size, _ in _stats(folder(name).glob("**/*")))


def _stats(entries: Iterable[Path]) -> list[tuple[Path, int, float]]:
    """Return path, bytes and time of last use of each file that is still there."""
    found = []
    for path in entries:
        with suppress(OSError):
            status = path.stat()
            if path.is_file():
                found.append((path, status.st_size, status.st_mtime))
    return found
