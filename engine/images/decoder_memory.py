"""What the decoders of image files take, estimated from a header.

Pillow holds one to four bytes a pixel. To these come the copies that a format's library makes.
"""

import mmap
from typing import BinaryIO

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ROWSPERSTRIP, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from impasto.engine.images.errors import UnreadableError

DEEP_BYTES_PER_PIXEL = 20  # both halves as Pillow holds them, and together
_WEBP_BYTES_PER_PIXEL = 20  # two canvases, two copies of the frame, and Pillow's image
_COEFFICIENT_BYTES = 2  # of a JPEG image in several scans, for each of its samples
_MOST_SCANNED_PIXELS = 4 << 30  # 20 scans of the largest image that is read
_POINTER_BYTES = 8  # Pillow's, to each row
_ORIENTATION = 274
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def decoder_bytes(image: ImageFile.ImageFile, stream: BinaryIO, whole: int) -> float:
    """Return the memory that the decoder of an image takes, bytes.

    Args:
        image: not loaded; of a JPEG image, at the scale at which it will be.
        stream: its file.
        whole: pixels of the file's image.

    Raises:
        UnreadableError: a JPEG image of so many scans that its decoding would take minutes.
    """
    pixels = image.width * image.height
    held = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4) * pixels
    held += _POINTER_BYTES * image.height
    if isinstance(image, WebPImageFile):
        return _WEBP_BYTES_PER_PIXEL * pixels
    if isinstance(image, TiffImageFile):
        strip_rows = image.tag_v2.get(ROWSPERSTRIP)
        share = min(strip_rows / image.height, 1) if isinstance(strip_rows, int) and strip_rows > 0 else 1
        turned = image.tag_v2.get(_ORIENTATION, 1) != 1
        return float(held * (1 + share + turned))
    if isinstance(image, JpegImageFile):
        scans = _scans(stream)
        if whole * scans > _MOST_SCANNED_PIXELS:
            raise UnreadableError(f"it has {scans} scans of {whole:,} pixels, which takes too long; save it with fewer")
        return held + (_COEFFICIENT_BYTES * image.layers * whole if scans > 1 else 0)
    return held


def _scans(stream: BinaryIO) -> int:
    """Return the number of scans of a JPEG file's image, without those of its thumbnails and of images after it."""
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 2
        while data[at : at + 2] != _START_OF_SCAN and data[at : at + 1] == b"\xff":
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
        end = data.find(_END_OF_IMAGE, at)
        count, end = 0, len(data) if end < 0 else end
        while (at := data.find(_START_OF_SCAN, at, end)) >= 0:
            count, at = count + 1, at + 2
        return count
