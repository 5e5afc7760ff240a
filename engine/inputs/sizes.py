"""The sizes of the pictures of a run, and what can be checked of them, from the headers of their files."""

from dataclasses import dataclass
from typing import overload

from impasto.engine import images
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.manifest import STARTS
from impasto.engine.inputs.saved_style import SavedStyle, is_saved_style
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable


@dataclass(frozen=True)
class Outline:
    """A picture without its pixels.

    Attributes:
        height: rows, px.
        width: columns, px.
        name: what to call it in a message; "" if there is no such image.
    """

    height: int
    width: int
    name: str


Sized = Picture | Outline
Weighed = Picture | Outline | SavedStyle
"""A style image or its outline, or a saved style."""


def measure_pictures(
    content: Source | None, style: Source | SavedStyle | None, settings: Settings
) -> tuple[Outline, Outline | SavedStyle]:
    """Return the sizes that the content and style images have in a run. No pixel is decoded.

    Args:
        content: the content image. It may be None if there are no content terms; the outline of the result, without a
            name, is then returned.
        style: the style image. It may be None if there are no style terms; the outline of the result, without a name,
            is then returned. A saved style is read and returned.
        settings: settings of the run.

    Raises:
        ImpastoError: an image cannot be read, is too small, or is missing; or a saved style has another size.
    """
    for kind, source, taps in (
        ("content", content, settings.active_content_taps),
        ("style", style, settings.active_style_taps),
    ):
        if source is None and taps:
            raise ImpastoError(
                f"no {kind} image for the {kind} terms of {', '.join(tap.name for tap in taps)}: give one, "
                f"or a {kind}_weight of 0"
            )
    if content is not None and settings.canvas is not None:
        raise ImpastoError("a canvas is for results without a content image: give --size, the long side, instead")
    look = SavedStyle.read(style) if is_saved_style(style) else style
    if content is None:
        scene = _tileable(_canvas(look, settings), settings)
    else:
        scene = _scaled(_outline(content, "content image"), settings.size, settings)
    if min(scene.height, scene.width) < SMALLEST_SIDE_PX:
        raise ImpastoError(
            f"result image too small: {size_of(scene)} px, the network needs at least "
            f"{SMALLEST_SIDE_PX} px on each side; give a larger image or --size"
        )
    if look is None:
        return scene, Outline(scene.height, scene.width, "")
    if isinstance(look, SavedStyle):
        look.check_size(settings.style_size)
        if settings.stroke_size != 1:
            raise ImpastoError(
                f"stroke_size {settings.stroke_size:g} is for style images, and {look.name} is a saved style: leave it "
                "out, or save the style again at another --size"
            )
        return scene, look
    return scene, measure_style(look, settings, scene)


def measure_style(style: Source, settings: Settings, scene: Sized | None = None) -> Outline:
    """Return the size that a style image has in a run. No pixel is decoded.

    Args:
        style: the style image.
        settings: settings of the run.
        scene: the content image at the size of the result; None is that the style is measured for its own sake.

    Raises:
        ImpastoError: the image cannot be read or is too small.
    """
    sized = _scaled(_outline(style, "style image"), style_side_px(settings, scene), settings)
    if settings.active_style_taps and min(sized.height, sized.width) < SMALLEST_SIDE_PX:
        raise ImpastoError(
            f"style image too small: {size_of(sized)} px once scaled, the network needs at least "
            f"{SMALLEST_SIDE_PX} px on each side; give a larger --style-size"
        )
    return sized


def style_side_px(settings: Settings, scene: Sized | None) -> int:
    """Return the long side of a style image, px; 0 is its own."""
    if settings.style_size is not None:
        return settings.style_size
    side = settings.size if scene is None else settings.size and max(scene.height, scene.width)
    return round(side * settings.stroke_size)


def check_start(settings: Settings, scene: Sized, painting: Weighed) -> None:
    """Check that the image that ``settings.init`` names exists and can be read, as far as its header tells.

    Raises:
        ImpastoError: there is no such image.
    """
    if settings.init == "noise":
        return
    if settings.init in STARTS:
        chosen = scene if settings.init == "content" else painting
        if isinstance(chosen, SavedStyle) or not chosen.name:
            raise ImpastoError(f"cannot start from the {settings.init} image: there is none; take noise or a file")
        return
    if why_unreadable(settings.init) == NO_SUCH_FILE:
        raise ImpastoError(
            f"unknown init {settings.init!r}: allowed are content, noise, style or an image file; it is no file"
        )
    images.read_size(settings.init)


@overload
def outline_of(painting: Picture) -> Outline: ...


@overload
def outline_of(painting: Picture | SavedStyle) -> Outline | SavedStyle: ...


def outline_of(painting: Picture | SavedStyle) -> Outline | SavedStyle:
    """Return a picture's size and name; a saved style is returned without changes."""
    return painting if isinstance(painting, SavedStyle) else Outline(painting.height, painting.width, painting.name)


def tileable(height: int, width: int) -> tuple[int, int]:
    """Return the sides of a seamless result, rounded to multiples that tile (halves up)."""
    step = SEAMLESS_STEP_PX
    high, wide = (max((2 * side + step) // (2 * step) * step, SMALLEST_SIDE_PX) for side in (height, width))
    return high, wide


def size_of(sized: Sized) -> str:
    """Return width and height for a message."""
    return f"{sized.width}x{sized.height}"


def _outline(source: Source, what: str) -> Outline:
    found = Outline(*images.read_size(source), images.name_of(source))
    images.require_min_side(found, SMALLEST_SIDE_PX, what)
    return found


def _scaled(outline: Outline, long_side_px: int, settings: Settings) -> Outline:
    return _tileable(
        Outline(*images.fit_long_side(outline.height, outline.width, long_side_px), outline.name), settings
    )


def _tileable(outline: Outline, settings: Settings) -> Outline:
    return Outline(*tileable(outline.height, outline.width), outline.name) if settings.seamless else outline


def _canvas(style: Source | SavedStyle | None, settings: Settings) -> Outline:
    """Return the outline of a result without a content image."""
    if settings.canvas is not None:
        width, height = settings.canvas
    elif style is not None:
        own = (style.height, style.width) if isinstance(style, SavedStyle) else images.read_size(style)
        height, width = images.fit_long_side(*own, settings.size)
    else:
        raise ImpastoError("neither a content nor a style image: give one of them, or a canvas")
    return Outline(height, width, "")
