"""Frames to animated files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from impasto.engine.images.errors import ImageError
from impasto.engine.images.samples import ByteArray
from impasto.models.atomic import check_place, write_atomically

_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".webp": ("WEBP", {"quality": 85, "method": 2}),
    ".gif": ("GIF", {}),
    ".png": ("PNG", {}),  # APNG
}


def check_animation(path: Path) -> None:
    """Refuse before a long run what `write_animation` would refuse after it.

    Raises:
        ImageError: an unknown extension, or a place where no file can be made.
    """
    if path.suffix.lower() not in _ENCODERS:
        raise ImageError(f"cannot write {path}: no such animation; allowed are {', '.join(_ENCODERS)}")
    check_place(path, ImageError)


def write_animation(path: Path, frames: Sequence[ByteArray], durations_ms: Sequence[int]) -> None:
    """Write frames as an endless animation; the file appears at once and in full.

    WebP has quality 85, PNG (APNG) is lossless, and GIF has 256 colours a frame. Frames that do not differ are shown
    as one.

    Args:
        path: .webp, .gif or .png.
        frames: uint8 H x W x 3, RGB, one or more of one size.
        durations_ms: how long each is shown; a GIF rounds to hundredths of a second.

    Raises:
        ImageError: as `check_animation`, or the disk is full.
    """
    check_animation(path)
    name, options = _ENCODERS[path.suffix.lower()]
    file = io.BytesIO()
    pictures = [Image.fromarray(frame) for frame in frames]
    if name == "GIF":  # the default, a median cut, takes half a second a frame for an error of 3.4 in place of 4 levels
        pictures = [picture.quantize(256, Image.Quantize.FASTOCTREE) for picture in pictures]
    pictures[0].save(
        file,
        name,
        save_all=True,
        append_images=pictures[1:],
        duration=list(durations_ms) if len(frames) > 1 else durations_ms[0],
        loop=0,
        **options,
    )
    write_atomically(path, file.getvalue(), failure=ImageError)
