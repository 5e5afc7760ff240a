"""The pictures of a run, resized to the sizes of the run, and its start image."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from impasto.engine import images
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.manifest import STARTS
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.sizes import (
    Outline,
    check_start,
    measure_pictures,
    measure_style,
    size_of,
    style_side_px,
    tileable,
)
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

# White noise with the mean and standard deviation of photographs (those of ImageNet), RGB, 0..1, normally distributed.
# Differs from Gatys et al.: the paper says "a white noise image" and does not name the distribution.
NOISE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
NOISE_DEVIATION = np.float32(0.227)


Style = Source | SavedStyle
"""A style argument. A path that ends in .safetensors is the path of a saved style."""

Painting = Picture | SavedStyle
"""The style image of a run, or a saved style."""

PaintingT = TypeVar("PaintingT", bound=Painting)


def read_pictures(content: Source | None, style: Style | None, settings: Settings) -> tuple[Picture, Painting]:
    """Read the content and style images, and resize them as the settings say.

    Args:
        content: the content image. It may be None if there are no content terms; a blank picture of the result's size
            without a name is then returned.
        style: the style image. It may be None if there are no style terms; a blank picture is then returned. A saved
            style is returned without changes.
        settings: settings of the run.

    Raises:
        ImpastoError: as for `measure_pictures`, or an image does not decode.
    """
    scene, painting = measure_pictures(content, style, settings)
    if content is None:
        read = Picture(np.zeros((scene.height, scene.width, 3), np.float32), None, "")
    else:
        read = _read(content, settings.size, scene)
    if isinstance(painting, SavedStyle):
        return read, painting
    if style is None or isinstance(style, SavedStyle):
        return read, Picture(read.pixels, None, "")
    return read, _read(style, style_side_px(settings, scene), painting)


def without_pixels(painting: PaintingT) -> PaintingT:
    """Return a picture of the same size without pixels in memory; a saved style is returned without changes."""
    if isinstance(painting, SavedStyle):
        return painting
    return replace(painting, pixels=np.broadcast_to(np.float32(0), painting.pixels.shape), alpha=None)


def read_style(style: Source, settings: Settings) -> Picture:
    """Read a style image without a content image, at the size that it has in a transfer.

    Raises:
        ImpastoError: as for `measure_style`, or the image does not decode.
    """
    return _read(style, style_side_px(settings, None), measure_style(style, settings))


def read_scored(image: Source, scene: Picture, settings: Settings) -> Picture:
    """Read an image to be evaluated, and resize it to the content image's size unless the size setting is 0.

    If the size setting is 0 and the run is seamless, both are resized to sides that tile.

    Raises:
        ImpastoError: the image cannot be read; or the size setting is 0 and the two images differ in size.
    """
    if settings.size != 0:
        return images.read_resized(image, scene.height, scene.width)
    scored = images.read_image(image)
    if settings.seamless:
        scored = scored.resized(*tileable(scored.height, scored.width))
    if (scored.height, scored.width) != (scene.height, scene.width):
        raise ImpastoError(
            f"image and content differ in size: {scored.name} is {size_of(scored)}, {scene.name} is {size_of(scene)} "
            "px; give images of one size, or --size"
        )
    return scored


def initial_image(settings: Settings, scene: Picture, painting: Painting, given: Picture | None = None) -> np.ndarray:
    """Return the image to start from, float32 [3 H W], planes of R, G and B, 0..1.

    Args:
        settings: settings of the run; `init` names the start unless `given` is an image.
        scene: the content image, at the size of the result.
        painting: the style image.
        given: the start image, of any size; None is `init`.

    Raises:
        ImpastoError: the file of the start image cannot be read.
    """
    if given is None and settings.init == "noise":
        noise = np.random.default_rng(settings.seed).standard_normal((scene.height, scene.width, 3), np.float32)
        return as_vector(NOISE_MEAN + NOISE_DEVIATION * noise)
    if given is None:
        check_start(settings, scene, painting)
        if settings.init not in STARTS:
            given = images.read_resized(settings.init, scene.height, scene.width)
    chosen = given or (scene if settings.init == "content" or isinstance(painting, SavedStyle) else painting)
    return as_vector(chosen.resized(scene.height, scene.width).pixels)


def as_vector(pixels: np.ndarray) -> np.ndarray:
    """Return pixels H x W x 3 as a flat vector of planes, the order of the graph's [1, 3, H, W]."""
    return images.to_nchw(pixels).reshape(-1)


def as_pixels(vector: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a flat vector of planes as a new array H x W x 3."""
    return images.from_nchw(vector.reshape(1, 3, height, width))


def _read(source: Source, long_side_px: int, size: Outline) -> Picture:
    """Read an image with that long side, and round its sides to a size, if that differs."""
    return images.read_image(source, long_side_px).resized(size.height, size.width)
