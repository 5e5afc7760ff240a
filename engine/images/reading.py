"""One way in for whatever a user calls an image."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from impasto.engine.images.arrays import picture_from_array, picture_from_npy
from impasto.engine.images.colour import to_srgb, unit
from impasto.engine.images.decoding import decode_file, decode_pillow
from impasto.engine.images.errors import ImageError
from impasto.engine.images.formats import is_npy, read_head
from impasto.engine.images.picture import Picture
from impasto.engine.images.samples import AnyArray, Samples

Source = str | os.PathLike[str] | Image.Image | AnyArray


def read_image(source: Source) -> Picture:
    """Return an image as sRGB pixels.

    Files are told by content, not by name: JPEG, PNG, WebP, TIFF and BMP, the first frame of several. EXIF orientation
    is applied and an embedded ICC profile is converted to sRGB. Grey, palette, CMYK, Lab, 1-bit and 16-bit images are
    read at full precision, except: 16-bit CMYK, 16 bits under a profile made of tables, and compressed
    separate-plane 16-bit TIFF are read at 8 bits; so is 16-bit colour that comes as a PIL image. `.npy` files hold
    floats on 0..255 (or uint8, uint16). Colours under transparent pixels are those that the file stores.

    Args:
        source: a path; a PIL image; or an array H x W x 3 (RGB), H x W x 4 (RGBA) or H x W (grey) of uint8, uint16, or
            floats in 0..1.

    Returns:
        The picture; its arrays are its own.

    Raises:
        ImageError: a missing, unreadable, truncated or corrupt file, a folder, another kind of file, an array that is
            no image, or more pixels than `impasto.engine.images.limits.MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return picture_from_array(source, "array")
    if isinstance(source, Image.Image):
        name = Path(str(getattr(source, "filename", "") or "PIL image")).name
        return _picture(decode_pillow(source, name), name)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"cannot use {type(source).__name__} as an image: give a path, a PIL image or a NumPy array")
    path = Path(source)
    if is_npy(read_head(path)):
        return picture_from_npy(path)
    return _picture(decode_file(path), path.name)


def _picture(samples: Samples, name: str) -> Picture:
    alpha = None if samples.alpha is None else np.ascontiguousarray(unit(samples.alpha))
    return Picture(np.ascontiguousarray(to_srgb(samples)), alpha, name)
