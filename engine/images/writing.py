"""Pixels to image files."""

import io
import json
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from impasto.engine.images.arrays import FILE_SCALE
from impasto.engine.images.errors import ImageError
from impasto.engine.images.metadata import KEYWORD
from impasto.engine.images.png import encode_png
from impasto.engine.images.samples import AnyArray, FloatArray
from impasto.engine.images.tiff import encode_tiff
from impasto.models.atomic import check_extension, check_place, write_atomically

Metadata = Mapping[str, Any]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".npy")
ARRAY_EXTENSIONS = (".npy",)
DEEP_EXTENSIONS = (".png", ".tif", ".tiff")
LARGEST_SIDE_PX = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}

_JPEG = "JPEG", {"quality": 95, "subsampling": "4:4:4", "optimize": True}
# Quality is the effort: all of it, 100, makes a file 0.1 % smaller in twice the time.
_WEBP = "WEBP", {"lossless": True, "exact": True, "quality": 25}
_PROFILE_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


def check_writable(
    path: str | Path,
    *,
    bits: int = 8,
    size: tuple[int, int] | None = None,
    extensions: Collection[str] | None = None,
) -> None:
    """Refuse before a long run what `write_image` or `write_array` would refuse after it.

    Args:
        path: where the file is to be.
        bits: per channel, as for `write_image`.
        size: height and width, px, once they are known.
        extensions: those that are allowed; None is all.

    Raises:
        ImageError: an unknown extension, bits or a size that the format lacks, or a place where no file can be made.
    """
    path = Path(path)
    extension = path.suffix.lower()
    check_extension(path, EXTENSIONS if extensions is None else extensions, ImageError)
    if bits not in (8, 16):
        raise ImageError(f"bad bits {bits}: allowed are 8 and 16")
    if bits == 16 and extension not in (*DEEP_EXTENSIONS, *ARRAY_EXTENSIONS):
        raise ImageError(
            f"cannot write {path}: {extension} has no 16 bits per channel; use {', '.join(DEEP_EXTENSIONS)}"
        )
    if size is not None and max(size) > (largest := LARGEST_SIDE_PX.get(extension, max(size))):
        raise ImageError(
            f"cannot write {path}: {size[1]} x {size[0]} px, and {extension} holds sides up to {largest} px; use .png"
        )
    check_place(path, ImageError)


def write_image(
    path: str | Path,
    pixels: FloatArray,
    alpha: FloatArray | None = None,
    *,
    metadata: Metadata | None = None,
    bits: int = 8,
) -> None:
    """Write an image: rounded to the nearest level, marked as sRGB, the same bytes for the same arguments.

    PNG, TIFF and WebP are lossless; JPEG has quality 95 and full chroma resolution. The file appears at once and in
    full, or an older one is left as it was. JPEG has no alpha: the colours are written as they are.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif, .tiff; or .npy, which holds the colours alone as float32 H x W x 3 on
            0..255, neither rounded nor clipped, and no metadata.
        pixels: float32 H x W x 3, RGB in sRGB encoding, 0..1; values outside are clipped.
        alpha: float32 H x W, 0..1, or None.
        metadata: what `read_metadata` gives back: plain values for JSON.
        bits: per channel, 8 or 16; 16 in PNG and TIFF only.

    Raises:
        ImageError: as `check_writable`; or the pixels hold NaN or infinity, or the disk is full.
    """
    path = Path(path)
    check_writable(path, bits=bits, size=pixels.shape[:2])
    if not np.isfinite(pixels).all():
        raise ImageError(f"cannot write {path}: the pixels hold NaN or infinity")
    if path.suffix.lower() in ARRAY_EXTENSIONS:
        write_array(path, pixels * np.float32(FILE_SCALE))
        return
    samples = quantise(pixels if alpha is None else np.dstack([pixels, alpha]), bits)
    write_atomically(path, encode(samples, path.suffix.lower(), metadata), failure=ImageError)


def write_array(path: str | Path, array: FloatArray) -> None:
    """Write numbers as they are, as float32 in a .npy file.

    Raises:
        ImageError: another extension, or the file cannot be written.
    """
    path = Path(path)
    check_writable(path, extensions=ARRAY_EXTENSIONS)
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array, np.float32))
    write_atomically(path, file.getvalue(), failure=ImageError)


def quantise(values: FloatArray, bits: int) -> AnyArray:
    """Return values of 0..1 as the nearest levels, uint8 or uint16; values outside are clipped."""
    levels = np.clip(values, 0, 1) * np.float32(2**bits - 1)
    np.rint(levels, out=levels)
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)


def encode(samples: AnyArray, extension: str, metadata: Metadata | None = None) -> bytes:
    """Return an image file.

    Args:
        samples: uint8 or uint16, H x W x 3 (RGB) or H x W x 4 (RGBA); a JPEG leaves alpha out.
        extension: of `EXTENSIONS`, except .npy.
        metadata: as for `write_image`.
    """
    text = None if metadata is None else json.dumps(metadata, allow_nan=False)
    if extension == ".png":
        return encode_png(samples, None if text is None else (KEYWORD, text))
    description = text and f"{KEYWORD} {text}"
    # Little CMS's own sRGB profile without the date at which it was made (bytes 24 to 35 of the header).
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + _PROFILE_DATE + profile[36:]
    if extension in (".tif", ".tiff"):
        return encode_tiff(samples, profile, description)
    exif = Image.Exif()
    if description:
        exif[ExifTags.Base.ImageDescription] = description
    name, options = _WEBP if extension == ".webp" else _JPEG
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(samples if name == "WEBP" else samples[:, :, :3]))
    image.save(file, name, exif=exif.tobytes() if description else b"", icc_profile=profile, **options)
    return file.getvalue()
