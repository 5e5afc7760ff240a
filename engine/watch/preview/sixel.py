"""Pictures as sixels: columns of six pixels, one colour at a time (DEC STD 070, chapter 9; VT330/VT340 manual)."""

import re

import numpy as np
import numpy.typing as npt

from impasto.engine.images import reduce_colours

COLOURS = 128
_BAND = 6
_OFFSET = 63  # "?" is six pixels that are not set
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def encode(samples: npt.NDArray[np.uint8]) -> bytes:
    """Return what shows a picture at the cursor; where the cursor is afterwards depends on the terminal.

    Args:
        samples: uint8 H x W x 3, RGB; reduced to `COLOURS` colours.
    """
    height, width = samples.shape[:2]
    indices, palette = reduce_colours(samples, COLOURS)
    percent = (palette.astype(np.uint16) * 200 + 255) // 510  # rounded
    colours = b"".join(b"#%d;2;%d;%d;%d" % (number, *colour) for number, colour in enumerate(percent.tolist()))
    bands = b"-".join(_band(indices[top : top + _BAND]) for top in range(0, height, _BAND))
    return b'\x1bP0;1q"1;1;%d;%d' % (width, height) + colours + bands + b"\x1b\\"


def _band(indices: npt.NDArray[np.uint8]) -> bytes:
    """Return up to six rows: each colour in use draws over the whole width, then the next begins at the left again."""
    used, places = np.unique(indices, return_inverse=True)
    places = places.reshape(indices.shape)
    sixels = np.full((len(used), indices.shape[1]), _OFFSET, np.uint8)
    columns = np.arange(indices.shape[1])
    for row, place in enumerate(places):
        sixels[place, columns] += np.uint8(1 << row)
    return b"$".join(b"#%d" % colour + _shortened(line.tobytes()) for colour, line in zip(used, sixels, strict=True))


def _shortened(line: bytes) -> bytes:
    """Write runs of four and more as their length, and leave out what is not set at the end."""
    return _RUN.sub(lambda run: b"!%d%c" % (len(run[0]), run[1][0]), line.rstrip(b"?"))
