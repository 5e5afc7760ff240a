"""Images for a page or a terminal: bytes in memory, at the size of a screen."""

import base64

import numpy as np
from PIL import Image

from impasto.engine.images.picture import Picture
from impasto.engine.images.samples import ByteArray, FloatArray
from impasto.engine.images.writing import encode, quantise


def data_url(picture: Picture, most_px: int) -> str:
    """Return an address that holds an image: JPEG of quality 95 and full chroma resolution, or PNG where it has alpha.

    Args:
        picture: of any size.
        most_px: its longer side is reduced to this many pixels, where it is longer.
    """
    shown = picture.within(most_px)
    kind = "jpeg" if shown.alpha is None else "png"
    values = shown.pixels if shown.alpha is None else np.dstack([shown.pixels, shown.alpha])
    file = encode(quantise(values, 8), f".{kind}")
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"


def thumbnail(pixels: FloatArray, height: int, width: int) -> ByteArray:
    """Return an image at the size of a screen, each pixel the mean of those that it stands for; made to be quick.

    An image that is enlarged is interpolated (bicubic).

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
    larger = height > samples.shape[0] or width > samples.shape[1]
    kernel = Image.Resampling.BICUBIC if larger else Image.Resampling.BOX
    return np.array(Image.fromarray(samples).resize((width, height), kernel), np.uint8)


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
