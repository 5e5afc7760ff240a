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
    errno.EROFS: "the file system is read-only",
}


class ImpastoError(Exception):
    """A mistake that the caller can correct: bad input, a missing file, a setting out of range.

    The message is one line: what is wrong, the value, what is allowed, what to do next.
    The command line prints it without a traceback and exits with status 2.
    """


def reason(error: OSError) -> str:
    """Return the operating system's reason as words without the path."""
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return (error.strerror or str(error)).lower()


def one_line(error: Exception, longest: int | None = None) -> str:
    """Return an error's text without line breaks, cut to a length; the name of its type where it has no text."""
    return " ".join(str(error).split())[:longest] or type(error).__name__
