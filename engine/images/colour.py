"""Stored samples to sRGB.

Colours are matched relative to the white (relative colorimetric; under profiles made of tables with black point
compensation) and what sRGB cannot show is clipped. A profile that is broken, or made for another kind of image, is
passed over: the image is then taken as sRGB, as image viewers do.
"""

import functools
import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from impasto.engine.images.errors import UnreadableError
from impasto.engine.images.icc import MatrixProfile, parse_matrix_profile, profile_name
from impasto.engine.images.samples import AnyArray, FloatArray, Samples

# The primaries of sRGB under D50, Bradford-adapted, as in the ICC's own sRGB profile.
_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_BLOCK_ROWS = 256  # bounds what the conversion needs beside its result
_GREY_LEVEL = 1 / 255
_KEPT = 8  # profiles; an image that is converted in parts needs its own again and again

_parsed = functools.lru_cache(maxsize=_KEPT)(parse_matrix_profile)


def to_srgb(samples: Samples) -> FloatArray:
    """Return float32 H x W x 3, RGB in sRGB encoding, 0..1.

    Profiles of curves and a matrix are applied at full precision, all others at 8 bits.

    Raises:
        UnreadableError: the profile gives values that are not finite, as a curve with a negative exponent does.
    """
    if samples.space == "LAB":
        samples = replace(samples, profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    converted = _convert(samples) if samples.profile else None
    if converted is not None:
        return converted
    colour = unit(samples.colour)
    if samples.space == "CMYK":  # inks, of which nothing is known, are taken for ideal ones: R = (1 - C)(1 - K)
        return (1 - colour[:, :, :3]) * (1 - colour[:, :, 3:])
    return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


def unit(array: AnyArray) -> FloatArray:
    """Return samples as float32 in 0..1: the nearest number to value / full scale."""
    return np.divide(array, np.iinfo(array.dtype).max, dtype=np.float32)


def _convert(samples: Samples) -> FloatArray | None:
    """Apply the profile; None if it does not fit or changes nothing."""
    profile = _parsed(samples.profile or b"")
    if profile is None:
        return _convert_with_lcms(samples)
    if len(profile.curves) != samples.colour.shape[2] or samples.space == "CMYK":
        return None
    full_scale = int(np.iinfo(samples.colour.dtype).max)
    if not _is_finite(profile, full_scale):
        raise UnreadableError(
            f"its ICC profile {profile_name(samples.profile or b'')} gives colours that are not finite; convert the "
            "image to sRGB with another program, or remove the profile"
        )
    if _is_srgb(profile):
        return None
    return _convert_with_matrix(profile, samples.colour)


@functools.lru_cache(maxsize=_KEPT)
def _is_srgb(profile: MatrixProfile) -> bool:
    """Return whether no colour moves by a grey level: the profile is sRGB itself, and its rounding would add noise."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * len(profile.curves), indexing="ij"), axis=-1)
    grid = grid.reshape(1, -1, len(profile.curves))
    return bool(np.abs(_convert_with_matrix(profile, grid) - unit(grid)).max() < _GREY_LEVEL)


def _convert_with_matrix(profile: MatrixProfile, colour: AnyArray) -> FloatArray:
    """Linearise by table (one entry for each possible sample), multiply, encode; in blocks of rows."""
    tables = _tables(profile, int(np.iinfo(colour.dtype).max))
    to_linear_srgb = None
    if profile.to_xyz is not None:
        to_linear_srgb = (np.linalg.inv(_SRGB_TO_XYZ) @ profile.to_xyz).T.astype(np.float32)
    result = np.empty((*colour.shape[:2], 3), np.float32)
    for start in range(0, len(colour), _BLOCK_ROWS):
        block = colour[start : start + _BLOCK_ROWS]
        linear = np.stack([table[block[:, :, i]] for i, table in enumerate(tables)], axis=2)
        if to_linear_srgb is not None:
            linear = linear @ to_linear_srgb
        linear = np.clip(linear, 0, 1)
        encoded = np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055)  # IEC 61966-2-1
        encoded = np.where(linear <= np.float32(0.0031308), np.float32(12.92) * linear, encoded)
        result[start : start + _BLOCK_ROWS] = encoded
    return result


@functools.lru_cache(maxsize=_KEPT)
def _tables(profile: MatrixProfile, full_scale: int) -> list[FloatArray]:
    """Return linear light for each possible sample, by channel."""
    axis = np.arange(full_scale + 1) / full_scale
    with np.errstate(all="ignore"):  # `_is_finite` looks at the result
        return [curve(axis).astype(np.float32) for curve in profile.curves]


def _is_finite(profile: MatrixProfile, full_scale: int) -> bool:
    """Return whether every colour is finite, also as the sum that the matrix makes of its channels."""
    largest = [float(np.abs(table).max()) for table in _tables(profile, full_scale)]  # NaN is its own maximum
    steepest = 1.0 if profile.to_xyz is None else float(np.abs(np.linalg.inv(_SRGB_TO_XYZ) @ profile.to_xyz).sum())
    return bool(sum(largest) * max(steepest, 1) < float(np.finfo(np.float32).max))


def _convert_with_lcms(samples: Samples) -> FloatArray | None:
    """Apply any profile with Little CMS, at 8 bits."""
    colour = samples.colour
    if colour.dtype != np.uint8:
        colour = np.rint(unit(colour) * 255).astype(np.uint8)
    height, width, channels = colour.shape
    mode = {1: "L", 3: samples.space, 4: "CMYK"}[channels]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(colour).tobytes())
    try:
        converted = ImageCms.applyTransform(image, _transform(samples.profile or b"", mode))
    except (ImageCms.PyCMSError, OSError):
        return None
    return None if converted is None else unit(np.asarray(converted))


@functools.lru_cache(maxsize=_KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Return the way from a profile to sRGB; Little CMS takes a moment to make it."""
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
