"""Files named by the hash of what they hold. A file that is in use is pinned, so that no sweep removes it."""

import contextlib
import hashlib
import os
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")
_ORPHAN_AGE_S = 600.0


class Files:
    """A folder of files that never change.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._incoming = folder, folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._pins: Counter[str] = Counter()
        for left in self._incoming.iterdir():  # of a process that was killed
            left.unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Return the path of a file.

        Raises:
            ValueError: the name is no hash.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("the name is no hash")
        return self._folder / name[:2] / name

    def incoming(self) -> "Incoming":
        """Return a new file to be written."""
        return Incoming(self, self._incoming / secrets.token_hex(16))

    def pin(self, name: str) -> None:
        """Keep a file that no row of the journal names yet."""
        with self._lock:
            self._pins[name] += 1

    def adopt(self, path: Path, name: str, *, durable: bool = True) -> None:
        """Move a file into the folder. The caller has pinned its name. After a failure it may be tried again.

        Args:
            path: on the same file system.
            name: the file's SHA-256.
            durable: whether to wait until the bytes and the name are on the disk.
        """
        target = self.path(name)
        if path.exists():
            if durable:
                sync(path)
            with self._lock:
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
        if durable:
            sync(target.parent)
            sync(self._folder)

    @contextlib.contextmanager
    def pinned(self) -> Iterator[Callable[[str], None]]:
        """Unpin, at the end of the block, the files that were given to the function."""
        names: list[str] = []
        try:
            yield names.append
        finally:
            self.unpin(names)

    def unpin(self, names: Iterable[str]) -> None:
        """Let a sweep remove files, unless the journal names them."""
        with self._lock:
            self._pins.subtract(Counter(names))
            self._pins += Counter()

    def remove(self, names: Collection[str], used: Callable[[], Collection[str]]) -> None:
        """Remove those of the files that nothing uses and nobody has pinned; see `sweep`."""
        with self._lock:
            for name in set(names) - {*used(), *self._pins}:
                self.path(name).unlink(missing_ok=True)

    def sweep(self, used: Callable[[], Collection[str]]) -> int:
        """Remove the files that nothing uses and nobody has pinned. Return the bytes that are left.

        Args:
            used: returns the names in use; it is called while no file can be adopted.
        """
        left = 0
        with self._lock:
            kept = {*used(), *self._pins}
            for path in self._folder.glob("??/*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.name in kept:
                        left += path.stat().st_size
                    else:
                        path.unlink()
        for path in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ORPHAN_AGE_S:
                    path.unlink()
        return left


class Incoming:
    """A file that is being written, counted and hashed. It is removed unless it is kept."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files, self.path = files, path
        self._stream = path.open("xb", buffering=1 << 18)
        self._hash, self.size = hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> None:
        """End the writing; the file can be read by its path."""
        self._stream.close()

    def keep(self) -> str:
        """Move the file to its place, wait until it is on the disk, and pin it. Return its name."""
        self.finish()
        self._files.pin(self.digest)
        try:
            self._files.adopt(self.path, self.digest)
        except BaseException:
            self._files.unpin([self.digest])
            raise
        return self.digest

    def drop(self) -> None:
        """Remove the file, if it was not kept."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self.path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
