"""Images for a page or a terminal: bytes in memory, at the size of a screen."""

import base64

import numpy as np
from PIL import Image

from impasto.engine.images.picture import Picture
from impasto.engine.images.png import encode_png
from impasto.engine.images.samples import ByteArray, FloatArray
from impasto.engine.images.writing import encode_jpeg, quantise


def data_url(picture: Picture, most_px: int) -> str:
    """Return an address that holds an image: JPEG of quality 95 and full chroma resolution, or PNG where it has alpha.

    Args:
        picture: of any size.
        most_px: its longer side is reduced to this many pixels, where it is longer.
    """
    shown = picture.within(most_px)
    if shown.alpha is None:
        kind, file = "jpeg", encode_jpeg(quantise(shown.pixels, 8), None)
    else:
        kind, file = "png", encode_png(quantise(np.dstack([shown.pixels, shown.alpha]), 8))
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"


def thumbnail(pixels: FloatArray, height: int, width: int) -> ByteArray:
    """Return an image at the size of a screen, each pixel the mean of those that it stands for; made to be quick.

    Args:
        pixels: float32 H x W x 3, RGB, 0..1; values outside are clipped.
        height: of the result, px, 1 or more.
        width: of the result, px, 1 or more.

    Returns:
        uint8 height x width x 3.
    """
    samples = quantise(pixels, 8)
    if samples.shape[:2] == (height, width):
        return samples.astype(np.uint8, copy=False)
    return np.array(Image.fromarray(samples).resize((width, height), Image.Resampling.BOX), np.uint8)


def reduce_colours(samples: ByteArray, count: int) -> tuple[ByteArray, ByteArray]:
    """Return an image in few colours, chosen for it by an octree; made to be quick.

    Args:
        samples: uint8 H x W x 3, RGB.
        count: of colours at most, 1 to 256.

    Returns:
        uint8 H x W, the number of each pixel's colour, and uint8 K x 3, the colours.
    """
    image = Image.fromarray(samples).quantize(count, Image.Quantize.FASTOCTREE)
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return np.array(image, np.uint8), palette
