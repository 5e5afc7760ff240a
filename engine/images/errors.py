"""What can go wrong with an image."""

from impasto.models.errors import ImpastoError


class ImageError(ImpastoError):
    """An image that cannot be read, used or written as asked."""


class UnreadableError(Exception):
    """A reason not to read a file, in words without the file's name."""
