"""Sizes and resampling."""

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.float32]


def fit_long_side(height: int, width: int, long_side_px: int) -> tuple[int, int]:
    """Return the size with the wanted long side and the nearest aspect ratio.

    Args:
        height: of the image, px.
        width: of the image, px.
        long_side_px: the wanted longer side; 0 keeps the size.

    Returns:
        Height and width, each at least 1; halves are rounded up.
    """
    if long_side_px == 0:
        return height, width
    long_side = max(height, width)
    new_height, new_width = ((2 * side * long_side_px + long_side) // (2 * long_side) for side in (height, width))
    return max(1, new_height), max(1, new_width)


def resize(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Resample with a Lanczos filter (three lobes), widened on the way down so that nothing aliases.

    It works on the values as they are, that is in sRGB encoding, as image viewers do. Like every filter with negative
    lobes it overshoots at edges by up to about a tenth of the step; the result is not clipped.

    Args:
        pixels: float32 H x W or H x W x C.
        height: of the result, px, 1 or more.
        width: of the result, px, 1 or more.

    Returns:
        float32 height x width (x C); the very same array where the size does not change.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.ndim == 2:
        return _resize_channel(pixels, height, width)
    return np.stack([_resize_channel(channel, height, width) for channel in np.moveaxis(pixels, 2, 0)], axis=2)


def _resize_channel(channel: FloatArray, height: int, width: int) -> FloatArray:
    """Resample one channel; Pillow's mode F is float32 with double accumulators."""
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.array(image.resize((width, height), Image.Resampling.LANCZOS), np.float32)
