"""What an image file stores, before its colours are understood."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

AnyArray = npt.NDArray[Any]
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """The stored numbers.

    Attributes:
        colour: H x W x C, uint8 or uint16, over its full range.
        alpha: H x W of the same type, not multiplied into the colour, or None.
        space: "L" (C = 1), "RGB" (3), "CMYK" (4; 0 is no ink) or "LAB" (3; uint8 as in Pillow).
        profile: the embedded ICC profile, or None.
    """

    colour: AnyArray
    alpha: AnyArray | None
    space: str
    profile: bytes | None = None

    def oriented(self, orientation: int) -> "Samples":
        """Return the samples the right way up.

        Args:
            orientation: EXIF tag 274, 1 to 8; anything else is taken as 1.
        """
        return replace(self, colour=upright(self.colour, orientation), alpha=upright(self.alpha, orientation))

    def part(self, rows: slice, columns: slice) -> "Samples":
        """Return the samples of some rows and columns."""
        alpha = None if self.alpha is None else self.alpha[rows, columns]
        return replace(self, colour=self.colour[rows, columns], alpha=alpha)


def samples_of(image: Image.Image) -> Samples:
    """Return the samples of a loaded image.

    Raises:
        ValueError: numbers whose range is unknown.
    """
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in _STANDARD_MODE:
        image = image.convert(_STANDARD_MODE[image.mode])
    array = np.asarray(image)
    if image.mode in ("CMYK", "LAB"):
        return Samples(array, None, image.mode, profile)
    if image.mode in ("I", "F"):
        array = _numbers(array)
    elif image.mode == "1":
        array = array.astype(np.uint8) * 255
    elif image.mode.startswith("I;16"):
        array = array.astype(np.uint16)
    return from_channels(array, image.info.get("transparency"), profile)


def from_channels(array: AnyArray, key: object, profile: bytes | None) -> Samples:
    """Return grey or RGB samples.

    Args:
        array: H x W, or H x W x 1 to 4; an even number of channels ends with alpha.
        key: the one grey level (int) or colour (tuple) that is transparent (PNG's tRNS chunk); anything else is none.
        profile: the embedded ICC profile, or None.
    """
    array = np.atleast_3d(array)
    colour, alpha = array, None
    if array.shape[2] in (2, 4):
        colour, alpha = array[:, :, :-1], array[:, :, -1]
    elif isinstance(key, int | tuple):
        opaque = np.any(colour != np.asarray(key), axis=2)
        alpha = opaque.astype(colour.dtype) * np.iinfo(colour.dtype).max
    return Samples(colour, alpha, "L" if colour.shape[2] == 1 else "RGB", profile)


@overload
def upright(layer: AnyArray, orientation: int) -> AnyArray: ...
@overload
def upright(layer: None, orientation: int) -> None: ...
def upright(layer: AnyArray | None, orientation: int) -> AnyArray | None:
    """Return an array H x W (x C), or None, turned as an EXIF orientation says."""
    return None if layer is None else _UPRIGHT.get(orientation, np.asarray)(layer)


def upright_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Return the height and the width of an image after `upright`, px."""
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded image; 1, as it is stored, where there is none that can be read."""
    try:
        # Of a PNG file, the method of its own class would decode the pixels first.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF data is no reason to refuse an image
        return 1
    return value if isinstance(value, int) else 1


# What Pillow can only hold in memory, or multiplies by alpha, and the nearest mode with the same information.
_STANDARD_MODE = {"YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}


def _numbers(array: AnyArray) -> AnyArray:
    """Return grey values held in 32 bits as uint16: whole numbers of 16 bits as they are, or floats in 0..1."""
    low, high = array.min(), array.max()
    if array.dtype.kind == "i" and low >= 0 and high <= 65535:
        return array.astype(np.uint16)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.rint(array * np.float32(65535)).astype(np.uint16)
    raise ValueError(f"grey values from {low:g} to {high:g}; in 32 bits, whole numbers in 0..65535 or floats in 0..1")


_UPRIGHT: Mapping[int, Callable[[AnyArray], AnyArray]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: np.rot90(array, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What turns an image the right way up, by its EXIF orientation."""
