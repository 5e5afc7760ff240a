"""Pictures as text: each cell is an upper half block, whose two colours are two pixels."""

import numpy as np
import numpy.typing as npt

_HALF_BLOCK = "▀"
_CUBE_LEVELS = np.array([0, 95, 135, 175, 215, 255])  # of xterm's colours 16 to 231
_GREY_LEVELS = np.arange(8, 239, 10)  # of 232 to 255


def encode(samples: npt.NDArray[np.uint8], *, true_colour: bool) -> bytes:
    """Return lines of text in UTF-8, each ended by a return and a line feed, except the last.

    Args:
        samples: uint8 2R x C x 3, RGB, for R rows of C cells.
        true_colour: 24-bit colours; otherwise the nearest of xterm's 256.
    """
    codes = _codes_24_bit(samples) if true_colour else np.char.mod("5;%d", nearest_256(samples))
    return "\r\n".join(_line(top, bottom) for top, bottom in zip(codes[::2], codes[1::2], strict=True)).encode()


def nearest_256(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the number of the nearest of xterm's colours 16 to 255; uint8 ... x 3 gives ... ."""
    values = samples.astype(np.int64)
    places = np.abs(values[..., None] - _CUBE_LEVELS).argmin(-1)
    cube_error = ((_CUBE_LEVELS[places] - values) ** 2).sum(-1)
    grey = np.abs(values.mean(-1)[..., None] - _GREY_LEVELS).argmin(-1)
    grey_error = ((_GREY_LEVELS[grey][..., None] - values) ** 2).sum(-1)
    cube = 16 + places @ np.array([36, 6, 1])
    nearest: npt.NDArray[np.int64] = np.where(grey_error < cube_error, 232 + grey, cube)
    return nearest


def _codes_24_bit(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.str_]:
    """Return ``2;r;g;b`` for every pixel."""
    return np.array([[f"2;{red};{green};{blue}" for red, green, blue in row] for row in samples.tolist()])


def _line(top: npt.NDArray[np.str_], bottom: npt.NDArray[np.str_]) -> str:
    """Return one row of cells; colours are named where they change."""
    parts, before = [], ("", "")
    for upper, lower in zip(top.tolist(), bottom.tolist(), strict=True):
        if upper != before[0]:
            parts.append(f"\x1b[38;{upper}m")
        if lower != before[1]:
            parts.append(f"\x1b[48;{lower}m")
        parts.append(_HALF_BLOCK)
        before = (upper, lower)
    return "".join([*parts, "\x1b[0m\x1b[K"])
