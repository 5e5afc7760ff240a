"""One way in for whatever a user calls an image."""

import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from impasto.engine.images.arrays import picture_from_array, picture_from_npy
from impasto.engine.images.colour import to_srgb, unit
from impasto.engine.images.deep import deep_samples, is_deep
from impasto.engine.images.errors import ImageError
from impasto.engine.images.formats import broken, is_npy, open_image, read_head
from impasto.engine.images.limits import check_pixels, own_limit_only
from impasto.engine.images.picture import Picture
from impasto.engine.images.samples import AnyArray, Samples, orientation_of, samples_of

Source = str | os.PathLike[str] | Image.Image | AnyArray

_WHITE_IS_ZERO = 0
_WIDENED = {"L;2": 85, "L;4": 17}  # what samples of 2 and 4 bits are multiplied by to fill 8


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
        return _picture(_decode_pillow(source, name), name)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"cannot use {type(source).__name__} as an image: give a path, a PIL image or a NumPy array")
    path = Path(source)
    if is_npy(read_head(path)):
        return picture_from_npy(path)
    try:
        with path.open("rb") as stream, own_limit_only():
            samples = _decode(stream, path)
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error
    return _picture(samples, path.name)


def _picture(samples: Samples, name: str) -> Picture:
    alpha = None if samples.alpha is None else np.ascontiguousarray(unit(samples.alpha))
    return Picture(np.ascontiguousarray(to_srgb(samples)), alpha, name)


def _decode_pillow(image: Image.Image, name: str) -> Samples:
    """Return the samples of a PIL image, the right way up; it is loaded and otherwise left as it is."""
    check_pixels(name, *image.size)
    try:
        with own_limit_only():
            image.load()
            return samples_of(image).oriented(orientation_of(image))
    except Exception as error:
        raise broken(Path(name), error) from error


def _decode(stream: BinaryIO, path: Path) -> Samples:
    """Return the samples of an image file's first frame, the right way up."""
    image = open_image(stream, path)
    check_pixels(str(path), *image.size)
    deep = is_deep(image)
    samples = deep_samples(image, lambda: open_image(stream, path)) if deep else _shallow_samples(image)
    return samples.oriented(orientation_of(image))


def _shallow_samples(image: ImageFile.ImageFile) -> Samples:
    """Load an image in a mode that holds all of it, and mend two things that Pillow leaves as they are."""
    key = image.info.get("transparency")
    if isinstance(image, PngImageFile) and isinstance(key, int):
        # Samples of 2 and 4 bits are widened, the transparent one is not.
        image.info["transparency"] = key * _WIDENED.get(str(image.tile[0].args), 1)
    white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    inverted = white_is_zero and image.mode.startswith("I;16")
    image.load()
    samples = samples_of(image)
    return replace(samples, colour=~samples.colour) if inverted else samples
