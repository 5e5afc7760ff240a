"""Arrays as images, from memory and from .npy files."""

from pathlib import Path

import numpy as np

from impasto.engine.images.colour import unit
from impasto.engine.images.errors import ImageError
from impasto.engine.images.limits import check_pixels
from impasto.engine.images.picture import Picture
from impasto.engine.images.samples import AnyArray, FloatArray

FILE_SCALE = 255.0  # floats in .npy files are grey levels

_ALLOWED = "allowed are uint8, uint16 or floats, H x W x 3 RGB, H x W x 4 RGBA, or H x W grey"


def picture_from_array(array: AnyArray, name: str, *, white: float = 1.0) -> Picture:
    """Return an array as a picture.

    uint8 and uint16 use their full range. Floats may leave their range by as much as it is wide, as the values of an
    optimised image do, and are not clipped; alpha is.

    Args:
        array: H x W x 3 RGB, H x W x 4 RGBA, or grey as H x W, H x W x 1, or H x W x 2 with alpha.
        name: what to call it in a message.
        white: the float that is white: 1, or 255 in files.

    Raises:
        ImageError: another shape or type, too many pixels, NaN or infinity, or floats on another scale.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[2] <= 4) or 0 in array.shape:
        shape = " x ".join(map(str, array.shape)) or "()"
        raise ImageError(f"cannot use {name} as an image: its shape is {shape}; {_ALLOWED}")
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"cannot use {name} as an image: its type is {array.dtype}; {_ALLOWED}")
    check_pixels(name, array.shape[1], array.shape[0])
    values = _floats(array, name, white) if array.dtype.kind == "f" else unit(array)
    if values.ndim == 2:
        values = values[:, :, None]
    channels = values.shape[2]
    alpha = np.clip(values[:, :, -1], 0, 1) if channels in (2, 4) else None
    colour = values[:, :, :3] if channels > 2 else np.repeat(values[:, :, :1], 3, axis=2)
    return Picture(np.ascontiguousarray(colour), alpha, name)


def picture_from_npy(path: Path) -> Picture:
    """Read a .npy file: uint8, or floats on 0..255.

    Raises:
        ImageError: not an array that is an image, or a truncated file.
    """
    try:
        # Mapped: a header that promises more than the file holds is refused before memory is taken.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"cannot read {path}: truncated or corrupt .npy, or not plain numbers ({error})") from error
    return picture_from_array(array, path.name, white=FILE_SCALE)


def _floats(array: AnyArray, name: str, white: float) -> FloatArray:
    """Return floats scaled to 0..1, or refuse them."""
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():  # NaN is its own minimum
        raise ImageError(f"cannot use {name} as an image: it holds NaN or infinity")
    if low < -white or high > 2 * white:
        hint = "divide it by 255" if white == 1 else "check what it holds"
    elif white == FILE_SCALE and 0 < high <= 1:
        hint = "multiply it by 255"
    else:
        return np.divide(array, white, dtype=np.float32, casting="unsafe")
    raise ImageError(
        f"cannot use {name} as an image: its values run from {low:g} to {high:g}, "
        f"but floats are 0..{white:g} here; {hint}"
    )
