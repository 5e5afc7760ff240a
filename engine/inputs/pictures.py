"""The pictures of a run, resized to the sizes of the run, and its start image."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from impasto.engine import images
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.saved_style import SavedStyle, is_saved_style
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings, Tap
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

# White noise with the mean and standard deviation of photographs (those of ImageNet), RGB, 0..1, normally distributed.
# Differs from Gatys et al.: the paper says "a white noise image" and does not name the distribution.
NOISE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
NOISE_DEVIATION = np.float32(0.227)


Style = Source | SavedStyle
"""A style argument. A path that ends in .safetensors is the path of a saved style."""

Painting = Picture | SavedStyle
"""The style image of a run, or a saved style."""


def read_pictures(content: Source | None, style: Style | None, settings: Settings) -> tuple[Picture, Painting]:
    """Read the content and style images, and resize them as the settings say.

    Args:
        content: the content image. It may be None if there are no content terms; a blank picture of the result's size
            without a name is then returned.
        style: the style image. It may be None if there are no style terms; a blank picture is then returned. A saved
            style is returned without changes.
        settings: settings of the run.

    Raises:
        ImpastoError: an image cannot be read, is too small, or is missing; or a saved style has another size.
    """
    _check_given("content", content, settings.active_content_taps)
    _check_given("style", style, settings.active_style_taps)
    if content is not None and settings.canvas is not None:
        raise ImpastoError("a canvas is for results without a content image: give --size, the long side, instead")
    painting = _read_painting(style)
    scene = _blank(painting, settings) if content is None else _read(content, "content image").scaled(settings.size)
    scene = _tileable(scene, settings)
    if min(scene.height, scene.width) < SMALLEST_SIDE_PX:
        raise ImpastoError(
            f"result image too small: {_size(scene)} px, the network needs at least "
            f"{SMALLEST_SIDE_PX} px on each side; give a larger image or --size"
        )
    if painting is None:
        return scene, Picture(scene.pixels, None, "")
    if isinstance(painting, SavedStyle):
        painting.check_size(settings.style_size)
        return scene, painting
    long_side_px = settings.style_size
    if long_side_px is None:
        long_side_px = settings.size and max(scene.height, scene.width)
    return scene, _brought_to(painting, long_side_px, settings)


@overload
def outline(painting: Picture) -> Picture: ...


@overload
def outline(painting: Painting) -> Painting: ...


def outline(painting: Painting) -> Painting:
    """Return a picture of the same size without pixels in memory; a saved style is returned without changes."""
    if isinstance(painting, SavedStyle):
        return painting
    return Picture(np.broadcast_to(np.float32(0), painting.pixels.shape), None, painting.name)


def read_style(style: Source, settings: Settings) -> Picture:
    """Read a style image without a content image, at the size that it has in a transfer.

    Raises:
        ImpastoError: the image cannot be read or is too small.
    """
    long_side_px = settings.size if settings.style_size is None else settings.style_size
    return _brought_to(_read(style, "style image"), long_side_px, settings)


def _read_painting(style: Style | None) -> Painting | None:
    if style is None or isinstance(style, SavedStyle):
        return style
    return SavedStyle.read(style) if is_saved_style(style) else _read(style, "style image")


def _brought_to(painting: Picture, long_side_px: int, settings: Settings) -> Picture:
    """Return a style image at its size."""
    sized = _tileable(painting.scaled(long_side_px), settings)
    if settings.active_style_taps and min(sized.height, sized.width) < SMALLEST_SIDE_PX:
        raise ImpastoError(
            f"style image too small: {_size(sized)} px once scaled, the network needs at least "
            f"{SMALLEST_SIDE_PX} px on each side; give a larger --style-size"
        )
    return sized


def read_scored(image: Source, scene: Picture, settings: Settings) -> Picture:
    """Read an image to be evaluated, and resize it to the content image's size unless the size setting is 0.

    If the size setting is 0 and the run is seamless, both are resized to sides that tile.

    Raises:
        ImpastoError: the image cannot be read; or the size setting is 0 and the two images differ in size.
    """
    scored = images.read_image(image)
    if settings.size == 0:
        scored = _tileable(scored, settings)
    if settings.size == 0 and (scored.height, scored.width) != (scene.height, scene.width):
        raise ImpastoError(
            f"image and content differ in size: {scored.name} is {_size(scored)}, {scene.name} is {_size(scene)} px; "
            "give images of one size, or --size"
        )
    return scored.resized(scene.height, scene.width)


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
    if given is not None:
        return as_vector(given.resized(scene.height, scene.width).pixels)
    if settings.init == "noise":
        noise = np.random.default_rng(settings.seed).standard_normal((scene.height, scene.width, 3), np.float32)
        return as_vector(NOISE_MEAN + NOISE_DEVIATION * noise)
    if settings.init not in ("content", "style"):
        if not Path(settings.init).exists():
            raise ImpastoError(
                f"unknown init {settings.init!r}: allowed are content, noise, style or an image file; it is no file"
            )
        start = images.read_image(settings.init)
    else:
        chosen = scene if settings.init == "content" else painting
        if isinstance(chosen, SavedStyle) or not chosen.name:
            raise ImpastoError(f"cannot start from the {settings.init} image: there is none; take noise or a file")
        start = chosen
    return as_vector(start.resized(scene.height, scene.width).pixels)


def as_vector(pixels: np.ndarray) -> np.ndarray:
    """Return pixels H x W x 3 as a flat vector of planes, the order of the graph's [1, 3, H, W]."""
    return images.to_nchw(pixels).reshape(-1)


def as_pixels(vector: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a flat vector of planes as a new array H x W x 3."""
    return images.from_nchw(vector.reshape(1, 3, height, width))


def _check_given(kind: str, source: Style | None, taps: Sequence[Tap]) -> None:
    if source is None and taps:
        raise ImpastoError(
            f"no {kind} image for the {kind} terms of {', '.join(tap.name for tap in taps)}: give one, "
            f"or a {kind}_weight of 0"
        )


def _blank(painting: Painting | None, settings: Settings) -> Picture:
    """Return a blank picture of the result's size, in place of a content image."""
    if settings.canvas is not None:
        width, height = settings.canvas
    elif painting is not None:
        height, width = images.fit_long_side(painting.height, painting.width, settings.size)
    else:
        raise ImpastoError("neither a content nor a style image: give one of them, or a canvas")
    return Picture(np.zeros((height, width, 3), np.float32), None, "")


def _tileable(picture: Picture, settings: Settings) -> Picture:
    """Return the picture; for a seamless run, with sides rounded to multiples that tile (halves up)."""
    if not settings.seamless:
        return picture
    step = SEAMLESS_STEP_PX
    height, width = (
        max((2 * side + step) // (2 * step) * step, SMALLEST_SIDE_PX) for side in (picture.height, picture.width)
    )
    return picture.resized(height, width)


def _read(source: Source, what: str) -> Picture:
    picture = images.read_image(source)
    images.require_min_side(picture, SMALLEST_SIDE_PX, what)
    return picture


def _size(picture: Picture) -> str:
    return f"{picture.width}x{picture.height}"
