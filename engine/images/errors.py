"""What can go wrong with an image, and the operating system's reasons in words."""

import errno

from impasto.models.errors import ImpastoError

_REASONS = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder, not an image file",
    errno.ENOSPC: "no space left on the disk",
    errno.EROFS: "the file system is read-only",
}


class ImageError(ImpastoError):
    """An image that cannot be read, used or written as asked."""


def reason(error: OSError) -> str:
    """Return the operating system's reason as words without the path."""
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return (error.strerror or str(error)).lower()
