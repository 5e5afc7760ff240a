"""Which files are images: formats are told by their first bytes, whatever the file is called."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from impasto.engine.images.errors import ImageError, UnreadableError
from impasto.engine.images.limits import MAX_PIXELS_VARIABLE, max_pixels
from impasto.models.errors import one_line, reason
from impasto.models.regular_file import A_FOLDER, why_unreadable

READABLE = "JPEG, PNG, WebP, TIFF, BMP and .npy"

_HEAD_BYTES = 32

# Opening by class and not by Image.open: only these decoders meet the data, and the size is known before any check.
_DECODERS: dict[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
    b"II+\0": TiffImagePlugin.TiffImageFile,
    b"MM\0+": TiffImagePlugin.TiffImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}

# Known, not read, and named in the message; (offset, bytes).
_OTHERS = {
    (0, b"GIF8"): "GIF",
    (8, b'{"'): "a .safetensors file, and a saved style shows no picture",
    (0, b"%PDF"): "PDF",
    (0, b"%!PS"): "PostScript",
    (0, b"8BPS"): "Photoshop",
    (0, b"v/1\x01"): "OpenEXR",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
    (4, b"jP  "): "JPEG 2000",
    (4, b"JXL "): "JPEG XL",
    (0, b"\xff\x0a"): "JPEG XL",
    (4, b"ftypavif"): "AVIF",
    (4, b"ftyphei"): "HEIC",
    (4, b"ftypmif1"): "HEIC",
    (0, b"<svg"): "SVG",
    (0, b"<?xml"): "XML or SVG",
}


def is_npy(path: Path) -> bool:
    """Tell by its first bytes whether a file is of NumPy's array format.

    Raises:
        ImageError: there is no such file, it is not a regular file or empty, or it may not be read.
    """
    why = why_unreadable(path)
    if why:
        raise ImageError(f"cannot read {path}: {why}{', not an image file' if why == A_FOLDER else ''}")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {reason(error)}") from error
    if not head:
        raise ImageError(f"cannot read {path}: the file is empty")
    return head.startswith(b"\x93NUMPY")


def open_image(stream: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """Return the image of a stream with its header read and nothing decoded.

    Args:
        stream: an open file; read from its start.
        path: what to call it in a message.

    Raises:
        ImageError: another kind of file, or a broken header.
    """
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    decoder = next((decoder for magic, decoder in _DECODERS.items() if head.startswith(magic)), None)
    if decoder is None or (head.startswith(b"RIFF") and head[8:12] != b"WEBP"):
        other = next((name for (at, magic), name in _OTHERS.items() if head.startswith(magic, at)), "not an image")
        raise ImageError(f"cannot read {path}: it is {other}; readable are {READABLE}: convert it first")
    try:
        return decoder(stream)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has too many pixels: at most {max_pixels():,} are read; "
            f"use a smaller image or set {MAX_PIXELS_VARIABLE}"
        ) from error
    except Exception as error:  # a plug-in may raise anything on broken data
        raise broken(path, error) from error


def broken(path: Path, error: Exception) -> ImageError:
    """Return the error for a file that begins like an image and cannot be read."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, UnreadableError):
        return ImageError(f"cannot read {path}: {error}")
    if isinstance(error, MemoryError):
        return ImageError(f"cannot read {path}: there is not enough memory for it; use a smaller image")
    why = reason(error) if isinstance(error, OSError) else one_line(error, 200)
    return ImageError(f"cannot read {path}: truncated, corrupt or of an unsupported kind ({why})")
