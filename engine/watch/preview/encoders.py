"""A picture as what a terminal draws it from: text, or one of three protocols. All are written at the cursor."""

import base64
import re
import zlib

import numpy as np
import numpy.typing as npt

from impasto.engine.images import reduce_colours
from impasto.engine.images.png import encode_png

Samples = npt.NDArray[np.uint8]

_HALF_BLOCK = "▀"
_CUBE_LEVELS = np.array([0, 95, 135, 175, 215, 255])  # of xterm's colours 16 to 231
_GREY_LEVELS = np.arange(8, 239, 10)  # of 232 to 255

_CHUNK_BYTES = 4096  # kitty's limit

SIXEL_COLOURS = 128
_SIXEL_BAND = 6
_SIXEL_OFFSET = 63  # "?" is six pixels that are not set
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def as_blocks(samples: Samples, *, true_colour: bool) -> bytes:
    """Return text in which each cell is an upper half block, whose two colours are two pixels.

    It is lines in UTF-8, each ended by a return and a line feed, except the last.

    Args:
        samples: uint8 2R x C x 3, RGB, for R rows of C cells.
        true_colour: 24-bit colours; otherwise the nearest of xterm's 256.
    """
    if true_colour:
        codes = [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in samples.tolist()]
    else:
        codes = [[f"5;{number}" for number in row] for row in nearest_256(samples).tolist()]
    return "\r\n".join(_line(top, bottom) for top, bottom in zip(codes[::2], codes[1::2], strict=True)).encode()


def nearest_256(samples: Samples) -> npt.NDArray[np.int64]:
    """Return the number of the nearest of xterm's colours 16 to 255; uint8 ... x 3 gives ... ."""
    values = samples.astype(np.int64)
    places = np.abs(values[..., None] - _CUBE_LEVELS).argmin(-1)
    cube_error = ((_CUBE_LEVELS[places] - values) ** 2).sum(-1)
    grey = np.abs(values.mean(-1)[..., None] - _GREY_LEVELS).argmin(-1)
    grey_error = ((_GREY_LEVELS[grey][..., None] - values) ** 2).sum(-1)
    cube = 16 + places @ np.array([36, 6, 1])
    nearest: npt.NDArray[np.int64] = np.where(grey_error < cube_error, 232 + grey, cube)
    return nearest


def _line(top: list[str], bottom: list[str]) -> str:
    """Return one row of cells; colours are named where they change."""
    parts, before = [], ("", "")
    for upper, lower in zip(top, bottom, strict=True):
        if upper != before[0]:
            parts.append(f"\x1b[38;{upper}m")
        if lower != before[1]:
            parts.append(f"\x1b[48;{lower}m")
        parts.append(_HALF_BLOCK)
        before = (upper, lower)
    return "".join([*parts, "\x1b[0m\x1b[K"])


def as_iterm(samples: Samples, columns: int, rows: int) -> bytes:
    """Return a picture in iTerm2's protocol (iterm2.com/documentation-images.html), which WezTerm and mintty have too.

    Where the cursor is afterwards depends on the terminal.

    Args:
        samples: uint8 H x W x 3, RGB.
        columns: of cells that it fills.
        rows: likewise.
    """
    file = encode_png(samples)
    keys = f"inline=1;size={len(file)};width={columns};height={rows};preserveAspectRatio=0"
    return b"\x1b]1337;File=" + keys.encode() + b":" + base64.b64encode(file) + b"\x07"


def as_kitty(samples: Samples, columns: int, rows: int, identity: int) -> bytes:
    """Return a picture in kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol), which Ghostty has too.

    The cursor stays where it is. A picture with the same identity is replaced. The terminal is told to answer nothing.

    Args:
        samples: uint8 H x W x 3, RGB.
        columns: of cells that it fills.
        rows: likewise.
        identity: 1 to 2^32 - 1.
    """
    height, width = samples.shape[:2]
    data = base64.b64encode(zlib.compress(samples.tobytes(), 1))
    chunks = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
    # Transmit and display (T), 24-bit RGB, deflated, size, identity and placement, cells, cursor stays, no answers.
    first = f"a=T,f=24,o=z,s={width},v={height},i={identity},p=1,c={columns},r={rows},C=1,q=2,"
    parts = []
    for number, chunk in enumerate(chunks):
        keys = f"{first if number == 0 else ''}m={int(number < len(chunks) - 1)}"
        parts.append(b"\x1b_G" + keys.encode() + b";" + chunk + b"\x1b\\")
    return b"".join(parts)


def as_sixels(samples: Samples) -> bytes:
    """Return sixels: columns of six pixels, one colour at a time (DEC STD 070, chapter 9; VT330/VT340 manual).

    Where the cursor is afterwards depends on the terminal.

    Args:
        samples: uint8 H x W x 3, RGB; reduced to `SIXEL_COLOURS` colours.
    """
    height, width = samples.shape[:2]
    indices, palette = reduce_colours(samples, SIXEL_COLOURS)
    percent = (palette.astype(np.uint16) * 200 + 255) // 510  # rounded
    colours = b"".join(b"#%d;2;%d;%d;%d" % (number, *colour) for number, colour in enumerate(percent.tolist()))
    bands = b"-".join(_band(indices[top : top + _SIXEL_BAND]) for top in range(0, height, _SIXEL_BAND))
    return b'\x1bP0;1q"1;1;%d;%d' % (width, height) + colours + bands + b"\x1b\\"


def _band(indices: Samples) -> bytes:
    """Return up to six rows: each colour in use draws over the whole width, then the next begins at the left again."""
    used, places = np.unique(indices, return_inverse=True)
    places = places.reshape(indices.shape)
    sixels = np.full((len(used), indices.shape[1]), _SIXEL_OFFSET, np.uint8)
    columns = np.arange(indices.shape[1])
    for row, place in enumerate(places):
        sixels[place, columns] += np.uint8(1 << row)
    return b"$".join(b"#%d" % colour + _shortened(line.tobytes()) for colour, line in zip(used, sixels, strict=True))


def _shortened(line: bytes) -> bytes:
    """Write runs of four and more as their length, and leave out what is not set at the end."""
    return _RUN.sub(lambda run: b"!%d%c" % (len(run[0]), run[1][0]), line.rstrip(b"?"))
