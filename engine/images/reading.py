"""One way in for whatever a user calls an image."""

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from impasto.engine.images.arrays import check_shape, map_npy, picture_from_array, picture_from_npy
from impasto.engine.images.colour import to_srgb, unit
from impasto.engine.images.decoder_memory import DEEP_BYTES_PER_PIXEL, decoder_bytes
from impasto.engine.images.deep import deep_samples, is_deep
from impasto.engine.images.errors import ImageError
from impasto.engine.images.formats import broken, is_npy, open_image
from impasto.engine.images.libtiff import quiet_libtiff
from impasto.engine.images.limits import check_decoding, check_pixels, decoding_budget, own_limit_only
from impasto.engine.images.picture import Picture, fit_long_side, resize
from impasto.engine.images.png_stream import check_complete, read_late_texts
from impasto.engine.images.reducing import LARGE_PIXELS, Layers, reduced, reduction
from impasto.engine.images.samples import (
    AnyArray,
    Samples,
    orientation_of,
    samples_of,
    upright,
    upright_size,
)

Source = str | os.PathLike[str] | Image.Image | AnyArray

_WHITE_IS_ZERO = 0
_WIDENED = {"L;2": 85, "L;4": 17}  # what samples of 2 and 4 bits are multiplied by to fill 8


def read_image(source: Source, long_side_px: int = 0) -> Picture:
    """Return an image as sRGB pixels.

    Files are told by content, not by name: JPEG, PNG, WebP, TIFF and BMP, the first frame of several. EXIF orientation
    is applied and an embedded ICC profile is converted to sRGB. Grey, palette, CMYK, Lab, 1-bit and 16-bit images are
    read at full precision, except: 16-bit CMYK, 16 bits under a profile made of tables, and compressed
    separate-plane 16-bit TIFF are read at 8 bits; so is 16-bit colour that comes as a PIL image. `.npy` files hold
    floats on 0..255 (or uint8, uint16). Colours under transparent pixels are those that the file stores.

    With `long_side_px`, an image of more than `LARGE_PIXELS` and of more than four times that side is reduced while it
    is read: by its own decoder if it is a JPEG, and by the means of boxes of pixels. So neither its floats nor, beyond
    `decoding_budget`, its 16-bit colours are ever in memory as a whole. All others have the same pixels as
    `read_image(source).scaled(long_side_px)`.

    Args:
        source: a path; a PIL image; or an array H x W x 3 (RGB), H x W x 4 (RGBA) or H x W (grey) of uint8, uint16, or
            floats in 0..1.
        long_side_px: the longer side of the result; 0 keeps the size.

    Returns:
        The picture; its arrays are its own.

    Raises:
        ImageError: a missing, unreadable, truncated or corrupt file, a folder, a pipe, another kind of file, an array
            that is no image, a profile that gives no colours, more pixels than
            `impasto.engine.images.limits.MAX_PIXELS`, or a decoder that would take too much memory.
    """
    if isinstance(source, np.ndarray):
        return picture_from_array(source, name_of(source), long_side_px=long_side_px)
    if isinstance(source, Image.Image):
        name = name_of(source)
        check_pixels(name, *source.size)
        try:
            with own_limit_only():
                source.load()
                return _picture(_Stored(source, orientation_of(source), source.size[::-1]), name, long_side_px)
        except Exception as error:
            raise broken(Path(name), error) from error
    path = checked_path(source)
    try:
        if is_npy(path):
            return picture_from_npy(path, long_side_px)
        with path.open("rb") as stream, own_limit_only():
            image = open_image(stream, path)
            check_pixels(str(path), *image.size)
            with quiet_libtiff() if isinstance(image, TiffImageFile) else nullcontext():
                return _picture(_loaded(image, stream, path, long_side_px), path.name, long_side_px)
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error


def read_within(source: Source, most_px: int) -> Picture:
    """Return an image whose longer side is reduced to `most_px` where it is longer; as `read_image` otherwise."""
    return read_image(source, min(max(read_size(source)), most_px))


def read_resized(source: Source, height: int, width: int) -> Picture:
    """Return an image at a size, in whatever proportions; as `read_image` otherwise.

    An image that `read_image` would reduce while it reads is brought to twice the size first.
    """
    own_height, own_width = read_size(source)
    first_px = 2 * max(height, width) if own_height * own_width > LARGE_PIXELS else 0
    return read_image(source, min(first_px, max(own_height, own_width))).resized(height, width)


def read_size(source: Source) -> tuple[int, int]:
    """Return the height and the width of the picture that `read_image` would return, px; nothing is decoded.

    Args:
        source: as for `read_image`.

    Raises:
        ImageError: as `read_image`, as far as it can be told from the header.
    """
    if isinstance(source, np.ndarray):
        return check_shape(source, name_of(source))
    if isinstance(source, Image.Image):
        check_pixels(name_of(source), *source.size)
        return upright_size(source.height, source.width, orientation_of(source))
    path = checked_path(source)
    if is_npy(path):
        return check_shape(map_npy(path), path.name)
    try:
        with path.open("rb") as stream, own_limit_only():
            image = open_image(stream, path)
            check_pixels(str(path), *image.size)
            if isinstance(image, TiffImageFile):  # Pillow turns it
                return image.height, image.width
            if isinstance(image, PngImageFile):
                read_late_texts(image, stream)
            return upright_size(image.height, image.width, orientation_of(image))
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error


def name_of(source: Source) -> str:
    """Return what to call an image in a message."""
    if isinstance(source, np.ndarray):
        return "array"
    if isinstance(source, Image.Image):
        return Path(str(getattr(source, "filename", "") or "PIL image")).name
    return checked_path(source).name


def checked_path(source: object) -> Path:
    """Return a source that is no image in memory as a path.

    Raises:
        ImageError: it is no path.
    """
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"cannot use {type(source).__name__} as an image: give a path, a PIL image or a NumPy array")
    return Path(source)


@dataclass(frozen=True, eq=False)
class _Stored:
    """A decoded image.

    Attributes:
        image: loaded, as it is stored.
        orientation: EXIF tag 274.
        original: height and width of the file's image as it is stored, px.
        scale: how many of its pixels, along each side, the decoder has made one.
        deep: its samples, if they are more than `image` holds.
        inverted: whether 0 is white.
    """

    image: Image.Image
    orientation: int
    original: tuple[int, int]
    scale: int = 1
    deep: Samples | None = None
    inverted: bool = False

    def part(self, rows: slice, columns: slice) -> Samples:
        """Return the samples of some rows and columns."""
        if self.deep is not None:
            return self.deep.part(rows, columns)
        return self._samples(self.image.crop((columns.start, rows.start, columns.stop, rows.stop)))

    def whole(self) -> Samples:
        """Return all samples."""
        return self._samples(self.image) if self.deep is None else self.deep

    def _samples(self, image: Image.Image) -> Samples:
        samples = samples_of(image)
        return replace(samples, colour=~samples.colour) if self.inverted else samples


def _loaded(image: ImageFile.ImageFile, stream: BinaryIO, path: Path, long_side_px: int) -> _Stored:
    """Decode an image file."""
    width, height = image.size
    factor = reduction(height, width, long_side_px)
    scale = 1
    if factor > 1 and isinstance(image, JpegImageFile):
        image.draft(None, (max(1, width // factor), max(1, height // factor)))
        scale = image.decoderconfig[0]
    deep = is_deep(image)
    if factor > 1 and deep:  # its upper bytes do for means of four pixels or more
        deep = DEEP_BYTES_PER_PIXEL * width * height <= decoding_budget(long_side_px)
    if width * height > LARGE_PIXELS:
        check_decoding(str(path), decoder_bytes(image, stream, width * height), long_side_px)
    inverted, samples = False, None
    if deep:
        samples = deep_samples(image, lambda: open_image(stream, path))
    else:
        inverted = _load(image)
    if isinstance(image, PngImageFile):
        check_complete(image, stream)
    return _Stored(image, orientation_of(image), (height, width), scale, samples, inverted)


def _load(image: ImageFile.ImageFile) -> bool:
    """Decode an image in a mode that holds all of it; return whether its 0 is white.

    Two things are mended that Pillow leaves as they are.
    """
    key = image.info.get("transparency")
    if isinstance(image, PngImageFile) and isinstance(key, int):
        # Samples of 2 and 4 bits are widened, the transparent one is not.
        image.info["transparency"] = key * _WIDENED.get(str(image.tile[0].args), 1)
    white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    inverted = white_is_zero and image.mode.startswith("I;16")
    image.load()
    return inverted


def _picture(stored: _Stored, name: str, long_side_px: int) -> Picture:
    """Return the upright pixels at the wanted size."""
    width, height = stored.image.size
    factor = reduction(height, width, long_side_px)
    if factor > 1:
        pixels, alpha = reduced(lambda rows, columns: _layers(stored.part(rows, columns)), height, width, factor)
        pixels = np.ascontiguousarray(upright(pixels, stored.orientation))
        alpha = upright(alpha, stored.orientation)
    elif stored.scale > 1:  # the last row and column may show less than the others
        extent = (stored.original[0] / stored.scale, stored.original[1] / stored.scale)
        pixels, alpha = _layers(stored.whole())
        pixels = resize(pixels, *fit_long_side(*stored.original, long_side_px), extent)
        pixels = np.ascontiguousarray(upright(np.clip(pixels, 0, 1), stored.orientation))
    else:
        pixels, alpha = _layers(stored.whole().oriented(stored.orientation))
    wanted = fit_long_side(*upright_size(*stored.original, stored.orientation), long_side_px)
    return Picture(pixels, alpha, name).resized(*wanted)


def _layers(samples: Samples) -> Layers:
    alpha = None if samples.alpha is None else np.ascontiguousarray(unit(samples.alpha))
    return np.ascontiguousarray(to_srgb(samples)), alpha
