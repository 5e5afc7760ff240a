"""Arrays as images, from memory and from .npy files."""

import mmap
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from impasto.engine.images.colour import unit
from impasto.engine.images.errors import ImageError
from impasto.engine.images.limits import check_pixels
from impasto.engine.images.picture import Picture, fit_long_side
from impasto.engine.images.reducing import LARGE_PIXELS, Layers, reduced, reduction
from impasto.engine.images.samples import AnyArray
from impasto.models.errors import one_line

FILE_SCALE = 255.0  # floats in .npy files are grey levels

_ALLOWED = "allowed are uint8, uint16 or floats, H x W x 3 RGB, H x W x 4 RGBA, or H x W grey"


def picture_from_array(array: AnyArray, name: str, *, white: float = 1.0, long_side_px: int = 0) -> Picture:
    """Return an array as a picture.

    uint8 and uint16 use their full range. Floats may leave their range by as much as it is wide, as the values of an
    optimised image do, and are not clipped; alpha is.

    Args:
        array: H x W x 3 RGB, H x W x 4 RGBA, or grey as H x W, H x W x 1, or H x W x 2 with alpha.
        name: what to call it in a message.
        white: the float that is white: 1, or 255 in files.
        long_side_px: of the result; 0 keeps the size.

    Raises:
        ImageError: another shape or type, too many pixels, NaN or infinity, or floats on another scale.
    """
    height, width = check_shape(array, name)
    if array.dtype.kind == "f":
        _check_floats(array, name, white)
    factor = reduction(height, width, long_side_px)
    if factor == 1:
        pixels, alpha = _layers(array, white)
    else:

        def part(rows: slice, columns: slice) -> Layers:
            _release(array)
            return _layers(array[rows, columns], white)

        pixels, alpha = reduced(part, height, width, factor)
    return Picture(pixels, alpha, name).resized(*fit_long_side(height, width, long_side_px))


def check_shape(array: AnyArray, name: str) -> tuple[int, int]:
    """Return the height and the width of an array that may be an image, px.

    Raises:
        ImageError: another shape or type, or too many pixels.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[2] <= 4) or 0 in array.shape:
        shape = " x ".join(map(str, array.shape)) or "()"
        raise ImageError(f"cannot use {name} as an image: its shape is {shape}; {_ALLOWED}")
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"cannot use {name} as an image: its type is {str(array.dtype)[:80]}; {_ALLOWED}")
    check_pixels(name, array.shape[1], array.shape[0])
    return array.shape[0], array.shape[1]


def map_npy(path: Path) -> AnyArray:
    """Return the array of a .npy file, mapped into memory.

    Raises:
        ImageError: not an array of plain numbers, or a truncated file.
    """
    try:
        # Mapped: a header that promises more than the file holds is refused before memory is taken.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on headers of Python 2, and on what Python thinks of a broken one
            array: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
    except Exception as error:  # the header is Python source, and numpy raises whatever its parser raises
        why = one_line(error, 100)
        raise ImageError(f"cannot read {path}: truncated or corrupt .npy, or not plain numbers ({why})") from error


def picture_from_npy(path: Path, long_side_px: int = 0) -> Picture:
    """Read a .npy file: uint8, uint16, or floats on 0..255.

    Raises:
        ImageError: not an array that is an image, or a truncated file.
    """
    return picture_from_array(map_npy(path), path.name, white=FILE_SCALE, long_side_px=long_side_px)


def _layers(array: AnyArray, white: float) -> Layers:
    """Return the colours and the alpha of an array."""
    if array.dtype.kind == "f":
        values = np.atleast_3d(np.divide(array, white, dtype=np.float32, casting="unsafe"))
    else:
        values = np.atleast_3d(unit(array))
    channels = values.shape[2]
    alpha = np.clip(values[:, :, -1], 0, 1) if channels in (2, 4) else None
    colour = values[:, :, :3] if channels > 2 else np.repeat(values[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(colour), alpha


def _in_parts(array: AnyArray) -> Iterator[AnyArray]:
    """Yield an array in blocks of rows."""
    rows = max(1, LARGE_PIXELS // array.shape[1])
    for top in range(0, len(array), rows):
        yield array[top : top + rows]
        _release(array)


def _release(array: AnyArray) -> None:
    """Let go of the parts of a mapped file that were read; they are read again when they are needed."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _check_floats(array: AnyArray, name: str, white: float) -> None:
    """Refuse floats that are not finite, or on another scale."""
    limits = [(part.min(), part.max()) for part in _in_parts(array)]
    low, high = float(np.min(limits)), float(np.max(limits))
    if not np.isfinite([low, high]).all():  # NaN is its own minimum
        raise ImageError(f"cannot use {name} as an image: it holds NaN or infinity")
    if low < -white or high > 2 * white:
        hint = "divide it by 255" if white == 1 else "check what it holds"
    elif white == FILE_SCALE and 0 < high <= 1:
        hint = "multiply it by 255"
    else:
        return
    raise ImageError(
        f"cannot use {name} as an image: its values run from {low:g} to {high:g}, "
        f"but floats are 0..{white:g} here; {hint}"
    )
