"""How large an image may be: a guard against files that are small on disk and enormous in memory."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from impasto.engine.images.errors import ImageError

MAX_PIXELS = 178_956_970  # where Pillow's own default refuses as well; 2 GiB as float32 RGB
MAX_PIXELS_VARIABLE = "IMPASTO_MAX_PIXELS"

_DECODING_BYTES = 768 << 20
_BYTES_PER_WANTED_PIXEL = 256

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Python prints Pillow's remarks where nobody listens

_pillow_limit_lock = threading.Lock()


def max_pixels() -> int:
    """Return the largest number of pixels that is read: `MAX_PIXELS`, or what the environment says.

    Raises:
        ImageError: the environment variable holds something else than a whole number above 0.
    """
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    if text is None:
        return MAX_PIXELS
    if not text.isdecimal() or int(text) == 0:
        raise ImageError(f"bad {MAX_PIXELS_VARIABLE} {text!r}: allowed are whole numbers above 0")
    return int(text)


def check_pixels(what: str, width: int, height: int) -> None:
    """Refuse an image with too many pixels; called before anything is decoded.

    Args:
        what: the image, as named to the user.
        width: columns, px.
        height: rows, px.

    Raises:
        ImageError: there are too many.
    """
    limit = max_pixels()
    if width * height > limit:
        raise ImageError(
            f"{what} is {width} x {height} px, that is {width * height:,} pixels: at most {limit:,} are read; "
            f"use a smaller image or set {MAX_PIXELS_VARIABLE}"
        )


def decoding_budget(long_side_px: int) -> int:
    """Return how many bytes the decoder of an image may take, for a result of a size.

    A run of that size needs several times as much.

    Args:
        long_side_px: of the result, 1 or more.
    """
    return _DECODING_BYTES + _BYTES_PER_WANTED_PIXEL * long_side_px**2


def check_decoding(what: str, needed_bytes: float, long_side_px: int) -> None:
    """Refuse an image whose decoder takes more memory than a result of a size warrants.

    Args:
        what: the image, as named to the user.
        needed_bytes: by the decoder.
        long_side_px: of the result; 0 is the image's own, for which the number of pixels alone counts.

    Raises:
        ImageError: it takes more.
    """
    if long_side_px and needed_bytes > (most := decoding_budget(long_side_px)):
        raise ImageError(
            f"{what} takes {needed_bytes / 1e9:.1f} GB to decode, and for a result of {long_side_px} px at most "
            f"{most / 1e9:.1f} GB are taken; reduce the image with another program first, or give a larger size"
        )


@contextmanager
def own_limit_only() -> Iterator[None]:
    """Let `check_pixels` decide while Pillow reads, instead of Pillow's own warning and limit.

    Pillow's limit is a global that other code may rely on: it is touched, and put back, only where ours is larger.
    """
    with warnings.catch_warnings():
        # Corrupt EXIF data and the like: the image itself is judged by what decodes.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        limit = max_pixels()
        if Image.MAX_IMAGE_PIXELS is None or limit <= 2 * Image.MAX_IMAGE_PIXELS:
            yield
            return
        with _pillow_limit_lock:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
            try:
                yield
            finally:
                Image.MAX_IMAGE_PIXELS = before
