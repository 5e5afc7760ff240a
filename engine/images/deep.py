"""16-bit colour at full precision.

Pillow decodes 16-bit RGB and RGBA, and 16-bit grey with alpha, but has no mode to hold them and keeps the upper byte.
Which byte is the upper one, its unpacker is told by name; so the image is decoded twice, once for each byte. Of a
separate-plane TIFF that is compressed only the upper bytes can be had: it is read at 8 bits.
"""

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PLANAR_CONFIGURATION, TiffImageFile

from impasto.engine.images.samples import Samples, from_channels

_SEPARATE_PLANES = 2
_FULL_SCALE = 65535


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Tell whether an image that is not yet loaded has more precision than Pillow would keep."""
    if image.mode not in ("RGB", "RGBA") or not image.tile:
        return False
    if isinstance(image, TiffImageFile):
        if set(image.tag_v2.get(BITSPERSAMPLE, ())) != {16}:
            return False
        return image.tile[0].codec_name == "raw" or image.tag_v2.get(PLANAR_CONFIGURATION) != _SEPARATE_PLANES
    return isinstance(image, PngImageFile) and _raw_mode(image).endswith(";16B")


def deep_samples(image: ImageFile.ImageFile, open_again: Callable[[], ImageFile.ImageFile]) -> Samples:
    """Decode a deep image.

    Args:
        image: for which `is_deep` holds; it is loaded afterwards.
        open_again: returns the same image, not loaded.

    Returns:
        uint16 samples.
    """
    raw_mode = _raw_mode(image)
    if raw_mode == "LA;16B":
        # Four bytes a pixel, like RGBA: taken as they are, they are two numbers of two bytes.
        array = _load(image, lambda raw: "RGBA").view(">u2").astype(np.uint16)
    else:
        little_endian = False  # as PNG is
        if isinstance(image, TiffImageFile):  # libtiff has swapped what is compressed
            raw = image.tile[0].codec_name == "raw"
            little_endian = image.tag_v2.prefix == b"II" if raw else sys.byteorder == "little"
        upper, lower = ("L", "B") if little_endian else ("B", "L")
        array = _load(image, lambda raw: _unpacker(raw, upper)).astype(np.uint16)
        array <<= 8
        array |= _load(open_again(), lambda raw: _unpacker(raw, lower))
    if raw_mode.startswith("RGBa"):
        alpha = array[:, :, 3:].astype(np.float32)
        colour = np.rint(array[:, :, :3] * (_FULL_SCALE / np.maximum(alpha, 1)))
        array[:, :, :3] = np.minimum(colour, _FULL_SCALE)
    return from_channels(array, image.info.get("transparency"), image.info.get("icc_profile"))


def _load(image: ImageFile.ImageFile, raw_mode: Callable[[str], str]) -> npt.NDArray[np.uint8]:
    """Decode with other unpackers; a tile's arguments are their name, or begin with it."""
    arguments = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in image.tile]
    image.tile = [
        tile._replace(args=(raw_mode(name), *rest)) for tile, (name, *rest) in zip(image.tile, arguments, strict=True)
    ]
    image.load()
    return np.asarray(image)


def _unpacker(raw_mode: str, upper_byte: str) -> str:
    """Name the unpacker that keeps the second (L) or the first (B) byte and leaves alpha alone."""
    return f"{raw_mode.partition(';')[0].replace('a', 'A')};16{upper_byte}"


def _raw_mode(image: ImageFile.ImageFile) -> str:
    args = image.tile[0].args
    return args[0] if isinstance(args, tuple) else str(args)
