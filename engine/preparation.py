"""Pictures brought to the sizes of a run, and the image that it starts from."""

from pathlib import Path

import numpy as np

from impasto.engine import images
from impasto.engine.images import Picture, Source
from impasto.engine.settings import Settings
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

# White noise with the mean and standard deviation of photographs (those of ImageNet), RGB, 0..1.
NOISE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
NOISE_DEVIATION = np.float32(0.227)


def read_pictures(content: Source, style: Source, settings: Settings) -> tuple[Picture, Picture]:
    """Read content and style and bring them to the sizes that the settings ask for.

    Raises:
        ImpastoError: an image cannot be read, or is too small.
    """
    scene, painting = _read(content, "content image"), _read(style, "style image")
    scene = scene.resized(*images.fit_long_side(scene.height, scene.width, settings.size))
    long_side_px = settings.style_size
    if long_side_px is None:
        long_side_px = settings.size and max(scene.height, scene.width)
    return scene, painting.resized(*images.fit_long_side(painting.height, painting.width, long_side_px))


def read_scored(image: Source, scene: Picture, settings: Settings) -> Picture:
    """Read an image that is to be scored, and bring it to the content's size unless all are taken as they are.

    Raises:
        ImpastoError: the image cannot be read; or its size is not the content's and none is asked for.
    """
    scored = images.read_image(image)
    if settings.size == 0 and (scored.height, scored.width) != (scene.height, scene.width):
        raise ImpastoError(
            f"image and content differ in size: {scored.name} is {_size(scored)}, {scene.name} is {_size(scene)} px; "
            "give images of one size, or --size"
        )
    return scored.resized(scene.height, scene.width)


def initial_image(settings: Settings, scene: Picture, painting: Picture, given: Picture | None = None) -> np.ndarray:
    """Return the image to start from, float32 [3 H W], planes of R, G and B, 0..1.

    Args:
        settings: whose `init` says which, unless one is given.
        scene: the content image, at the size of the result.
        painting: the style image.
        given: the image itself, of any size.

    Raises:
        ImpastoError: a file to start from cannot be read.
    """
    if given is not None:
        return as_vector(given.resized(scene.height, scene.width).pixels)
    if settings.init == "noise":
        noise = np.random.default_rng(settings.seed).standard_normal((scene.height, scene.width, 3), np.float32)
        return as_vector(NOISE_MEAN + NOISE_DEVIATION * noise)
    if settings.init == "content":
        return as_vector(scene.pixels)
    start = painting if settings.init == "style" else images.read_image(Path(settings.init))
    return as_vector(start.resized(scene.height, scene.width).pixels)


def as_vector(pixels: np.ndarray) -> np.ndarray:
    """Return H x W x 3 as a flat vector of planes, which is the order of the graph's [1, 3, H, W]."""
    return images.to_nchw(pixels).reshape(-1)


def as_pixels(vector: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a flat vector of planes as a copy of form H x W x 3."""
    return images.from_nchw(vector.reshape(1, 3, height, width))


def _read(source: Source, what: str) -> Picture:
    picture = images.read_image(source)
    images.require_min_side(picture, SMALLEST_SIDE_PX, what)
    return picture


def _size(picture: Picture) -> str:
    return f"{picture.width}x{picture.height}"
