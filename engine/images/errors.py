"""What can go wrong with an image."""

from impasto.models.errors import ImpastoError


class ImageError(ImpastoError):
    """An image that cannot be read, used or written as asked."""
