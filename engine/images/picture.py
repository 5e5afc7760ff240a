"""An image in memory: its sizes, and the layout that graphs want."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from impasto.engine.images.errors import ImageError
from impasto.engine.images.samples import FloatArray

LEAST_ALPHA = 1 / 255  # below it, a colour divided by its alpha is noise


@dataclass(frozen=True, eq=False)
class Picture:
    """An image: colours and, where it has them, how opaque they are.

    Attributes:
        pixels: float32 H x W x 3, RGB in sRGB encoding, 0..1; not multiplied by alpha.
        alpha: float32 H x W, 0 (transparent) to 1 (opaque), or None for an opaque image.
        name: what to call it in a message.
    """

    pixels: FloatArray
    alpha: FloatArray | None
    name: str

    @property
    def height(self) -> int:
        """Rows, px."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns, px."""
        return int(self.pixels.shape[1])

    def resized(self, height: int, width: int) -> "Picture":
        """Return the picture at another size, within 0..1; itself where the size is the same.

        Colours count by their alpha, so that what hides under transparent pixels does not leak over their edge.
        """
        if (height, width) == (self.height, self.width):
            return self
        pixels = np.clip(resize(self.pixels, height, width), 0, 1)
        if self.alpha is None:
            return Picture(pixels, None, self.name)
        weights = resize(self.alpha, height, width)
        weighted = resize(self.pixels * self.alpha[..., None], height, width)
        visible = weights >= LEAST_ALPHA
        pixels[visible] = np.clip(weighted[visible] / weights[visible, None], 0, 1)
        return Picture(pixels, np.clip(weights, 0, 1), self.name)

    def scaled(self, long_side_px: int) -> "Picture":
        """Return the picture with that longer side and its own aspect ratio; 0 keeps its size."""
        return self.resized(*fit_long_side(self.height, self.width, long_side_px))

    def within(self, most_px: int) -> "Picture":
        """Return the picture; reduced, with its own aspect ratio, where its longer side is longer than that."""
        return self.scaled(min(max(self.height, self.width), most_px))


class Named(Protocol):
    """Whatever has a size and a name: a picture, or only its outline."""

    @property
    def height(self) -> int:
        """Rows, px."""

    @property
    def width(self) -> int:
        """Columns, px."""

    @property
    def name(self) -> str:
        """What to call it in a message."""


def require_min_side(picture: Named, min_side_px: int, what: str) -> None:
    """Refuse a picture that is too small.

    Args:
        picture: the picture.
        min_side_px: what both sides must have.
        what: what the picture is for, as in "content image".

    Raises:
        ImageError: a side is shorter.
    """
    if min(picture.height, picture.width) < min_side_px:
        raise ImageError(
            f"{what} {picture.name} is {picture.width} x {picture.height} px: "
            f"both sides must be {min_side_px} px or more; use a larger image"
        )


def to_nchw(pixels: FloatArray) -> FloatArray:
    """Return H x W x 3 pixels as a graph's input: a new contiguous float32 array 1 x 3 x H x W, same values."""
    return np.array(pixels.transpose(2, 0, 1)[None], np.float32, order="C")


def from_nchw(image: FloatArray) -> FloatArray:
    """Return a graph's image 1 x 3 x H x W as new contiguous float32 pixels H x W x 3, same values."""
    return np.array(image[0].transpose(1, 2, 0), np.float32, order="C")


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


def resize(pixels: FloatArray, height: int, width: int, extent: tuple[float, float] | None = None) -> FloatArray:
    """Resample with a Lanczos filter (three lobes), widened on the way down so that nothing aliases.

    It works on the values as they are, that is in sRGB encoding, as image viewers do. Like every filter with negative
    lobes it overshoots at edges by up to about a tenth of the step; the result is not clipped.

    Args:
        pixels: float32 H x W or H x W x C.
        height: of the result, px, 1 or more.
        width: of the result, px, 1 or more.
        extent: how many rows and columns, from the first on, the result shows; None is all.

    Returns:
        float32 height x width (x C); the very same array where the size does not change.
    """
    if pixels.shape[:2] == (height, width) and extent is None:
        return pixels
    if pixels.ndim == 3:
        return np.stack([resize(channel, height, width, extent) for channel in np.moveaxis(pixels, 2, 0)], axis=2)
    box = None if extent is None else (0, 0, extent[1], extent[0])
    return _resampled(pixels, (width, height), Image.Resampling.LANCZOS, box)


def interpolate(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Enlarge with a bilinear filter: every value of the result is a mean of values, with weights of 0 or more.

    Args:
        pixels: float32 H x W x C.
        height: of the result, px, H or more.
        width: of the result, px, W or more.

    Returns:
        float32 height x width x C.
    """
    channels = np.moveaxis(pixels, 2, 0)
    return np.stack([_resampled(one, (width, height), Image.Resampling.BILINEAR) for one in channels], axis=2)


def _resampled(
    channel: FloatArray,
    size: tuple[int, int],
    kernel: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> FloatArray:
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))  # mode F has double accumulators
    return np.array(image.resize(size, kernel, box), np.float32)
