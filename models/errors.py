"""The base of every error that a user can correct, and the operating system's reasons in words.

It lives at the bottom of the import order so that all four packages can raise it.
"""

import errno

_REASONS = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder",
    errno.ENOSPC: "no space left on the disk",
    errno.EFBIG: "the file is larger than the limit of the system (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "a folder of the path is a file",
    errno.ELOOP: "its symbolic links form a circle",
}


OF_PATHS = frozenset(_REASONS) - {errno.ENOENT}
"""Numbers of errors that are a path's or its disk's. A file that is missing may be one of the program's own."""


class ImpastoError(Exception):
    """A mistake that the caller can correct: bad input, a missing file, a setting out of range.

    The message is one line: what is wrong, the value, what is allowed, what to do next.
    The command line prints it without a traceback and exits with status 2.
    """


class ProviderError(ImpastoError):
    """ONNX Runtime, a driver or a device failed while a graph was opened or run."""


def reason(error: OSError) -> str:
    """Return the operating system's reason as words without the path."""
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return (error.strerror or str(error)).lower()


def one_line(error: Exception, longest: int | None = None) -> str:
    """Return an error's text without line breaks, cut to a length; the name of its type where it has no text.

    Libraries break their lines. Messages of this program are one line, so a line break in them is one of a file's name:
    it is escaped.
    """
    text = printable(str(error)) if isinstance(error, ImpastoError) else " ".join(str(error).split())
    return text[:longest] or type(error).__name__


def printable(text: str) -> str:
    """Return text in which every character that does not print is written as Python escapes it.

    Names of files and records of foreign files may hold anything, also what moves a terminal's cursor or colours it.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
