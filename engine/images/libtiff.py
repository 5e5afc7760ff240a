"""libtiff without its own lines on stderr.

libtiff writes its complaints about a broken file to stderr itself, and Pillow has no switch for that. The program says
in one line of its own what is wrong.
"""

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import PIL
from PIL import _imaging

_SETTERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")

_lock = threading.Lock()
_users = 0
_before: list[int | None] = []


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Take away libtiff's handlers while any thread is inside, and put back those that were there before.

    Differs from a redirection of file descriptor 2 in that the lines of all others still arrive. Where libtiff is part
    of another library, so that its functions have no names, nothing happens.
    """
    global _users, _before
    library = _library()
    if library is None:
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _before = [_set(library, name, None) for name in _SETTERS]
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for name, handler in zip(_SETTERS, _before, strict=True):
                    _set(library, name, handler)


def _set(library: ctypes.CDLL, name: str, handler: int | None) -> int | None:
    """Set a handler, and return the one before it; None is none."""
    setter = library[name]
    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    before: int | None = setter(handler)
    return before


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Return the libtiff that Pillow uses, which is in memory already; None if it cannot be told."""
    for path in _candidates():
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            for name in _SETTERS:
                library[name]
            return library
    return None


def _candidates() -> Iterator[str]:
    _ = _imaging  # importing it has loaded its libraries
    with suppress(OSError):
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        yield from dict.fromkeys(line.split(maxsplit=5)[5] for line in lines if "/libtiff" in line)
    if sys.platform == "darwin":
        yield from map(str, (Path(PIL.__file__).parent / ".dylibs").glob("libtiff*"))
