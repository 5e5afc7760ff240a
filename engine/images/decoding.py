"""An image file to its samples."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from impasto.engine.images.deep import deep_samples, is_deep
from impasto.engine.images.formats import broken, open_image
from impasto.engine.images.limits import check_pixels, own_limit_only
from impasto.engine.images.samples import Samples, orientation_of, samples_of

_WHITE_IS_ZERO = 0
_WIDENED = {"L;2": 85, "L;4": 17}  # what samples of 2 and 4 bits are multiplied by to fill 8


def decode_file(path: Path) -> Samples:
    """Return the samples of an image file's first frame, the right way up.

    Raises:
        ImageError: not an image, too many pixels, or it does not decode.
    """
    try:
        with path.open("rb") as stream, own_limit_only():
            return _decode(stream, path)
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error


def decode_pillow(image: Image.Image, name: str) -> Samples:
    """Return the samples of a PIL image, the right way up; it is loaded and otherwise left as it is.

    Pillow's images hold 16 bits for grey only; give a path to read 16-bit colour in full.

    Raises:
        ImageError: too many pixels, or it does not decode.
    """
    check_pixels(name, *image.size)
    try:
        with own_limit_only():
            image.load()
            return samples_of(image).oriented(orientation_of(image))
    except Exception as error:
        raise broken(Path(name), error) from error


def _decode(stream: BinaryIO, path: Path) -> Samples:
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
