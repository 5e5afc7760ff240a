"""A PNG writer by the letter of the specification, byte by byte: every colour type, depth and filter, and Adam7."""

import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int, colour_type: int, *, interlaced: bool = False) -> bytes:
    fields = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", fields)


def png_file(
    samples: npt.NDArray[Any],
    depth: int,
    colour_type: int,
    *,
    chunks: Iterable[bytes] = (),
    interlaced: bool = False,
) -> bytes:
    """Return a file of H x W x C numbers of so many bits; row r is filtered with type r modulo 5."""
    height, width, channels = samples.shape
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b"".join(_filtered(samples[top::down, left::right], depth, channels) for top, left, down, right in passes)
    return b"".join(
        [
            header(width, height, depth, colour_type, interlaced=interlaced),
            *chunks,
            chunk(b"IDAT", zlib.compress(data)),
            chunk(b"IEND", b""),
        ]
    )


def _filtered(samples: npt.NDArray[Any], depth: int, channels: int) -> bytes:
    if samples.size == 0:
        return b""
    step = max(1, depth * channels // 8)
    above = bytes(len(_packed(samples[0], depth)))
    out = bytearray()
    for number, row in enumerate(samples):
        raw = _packed(row, depth)
        kind = number % 5
        out.append(kind)
        for i, value in enumerate(raw):
            left = raw[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            out.append((value - _predicted(kind, left, above[i], corner)) % 256)
        above = raw
    return bytes(out)


def _packed(row: npt.NDArray[Any], depth: int) -> bytes:
    bits = "".join(format(int(value), f"0{depth}b") for value in np.ravel(row))
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind < 4:
        return (0, left, above, (left + above) // 2)[kind]
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))
