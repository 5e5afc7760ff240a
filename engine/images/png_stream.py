"""What Pillow does not tell of a PNG file: whether its pixels are all there, and what follows them.

PNG specification (third edition), sections 5 (chunks), 7 (scanlines), 8 (interlacing) and 10 (compression).
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngImageFile

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, step of columns and step of rows of each pass."""

_TEXTS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_BLOCK_BYTES = 1 << 20


def check_complete(image: PngImageFile, stream: BinaryIO) -> None:
    """Refuse a PNG image whose compressed data ends before its last row; Pillow leaves the other rows black.

    Args:
        image: a loaded image.
        stream: its file.

    Raises:
        OSError: rows are missing.
    """
    width, height = image.size
    interlaced = bool(image.info.get("interlace"))
    if not interlaced and np.asarray(image.crop((0, height - 1, width, height))).any():
        return  # the last row is not as Pillow made it, so it was decoded
    wanted, found = _expected_bytes(stream), _decoded_bytes(stream)
    if found < wanted:
        raise OSError(f"its pixels end early, after {found:,} of {wanted:,} bytes")


def read_late_texts(image: PngImageFile, stream: BinaryIO) -> None:
    """Give an image that is not loaded the EXIF data and the texts that follow its pixels."""
    with suppress(Exception):  # they are no reason to refuse an image
        pixels_seen = False
        for kind, offset, length in _chunks(stream):
            pixels_seen = pixels_seen or kind == b"IDAT"
            if pixels_seen and kind in _TEXTS and image.png is not None:
                stream.seek(offset)
                image.png.call(kind, offset, length)


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the offset and the length of each chunk's data, as far as they can be followed."""
    end = stream.seek(0, os.SEEK_END)
    at = 8
    while at + 8 <= end:
        stream.seek(at)
        length, kind = struct.unpack(">I4s", stream.read(8))
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def _expected_bytes(stream: BinaryIO) -> int:
    """Return the bytes of all scanlines of a file, each after its filter type."""
    stream.seek(16)
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", stream.read(13))
    bits, total = _CHANNELS[colour_type] * depth, 0
    for first_column, first_row, columns, rows in _ADAM7 if interlaced else _WHOLE:
        across, down = -(-(width - first_column) // columns), -(-(height - first_row) // rows)
        if across > 0 and down > 0:
            total += down * (1 + -(-across * bits // 8))
    return total


def _decoded_bytes(stream: BinaryIO) -> int:
    """Return how many bytes the image's compressed data gives; nothing of them is kept."""
    inflate, total = zlib.decompressobj(), 0
    with suppress(zlib.error):
        for kind, offset, length in _chunks(stream):
            if kind != b"IDAT":
                continue
            stream.seek(offset)
            data = stream.read(length)
            while data and not inflate.eof:
                total += len(inflate.decompress(data, _BLOCK_BYTES))
                data = inflate.unconsumed_tail
    return total + len(inflate.flush())
