"""Stored samples to sRGB.

Colours are matched relative to the white (relative colorimetric; under profiles made of tables with black point
compensation) and what sRGB cannot show is clipped. A profile that is broken, or made for another kind of image, is
passed over: the image is then taken as sRGB, as image viewers do.
"""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from impasto.engine.images.icc import MatrixProfile, parse_matrix_profile
from impasto.engine.images.samples import AnyArray, FloatArray, Samples

# The primaries of sRGB under D50, Bradford-adapted, as in the ICC's own sRGB profile.
_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_BLOCK_ROWS = 256  # bounds what the conversion needs beside its result
_GREY_LEVEL = 1 / 255


def to_srgb(samples: Samples) -> FloatArray:
    """Return float32 H x W x 3, RGB in sRGB encoding, 0..1.

    Profiles of curves and a matrix are applied at full precision, all others at 8 bits.
    """
    if samples.space == "LAB":
        samples = replace(samples, profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    converted = _convert(samples) if samples.profile else None
    return _as_srgb(samples) if converted is None else converted


def unit(array: AnyArray) -> FloatArray:
    """Return samples as float32 in 0..1: the nearest number to value / full scale."""
    return np.divide(array, np.iinfo(array.dtype).max, dtype=np.float32)


def _as_srgb(samples: Samples) -> FloatArray:
    """Take the numbers for sRGB; inks, of which nothing is known, for ideal ones: R = (1 - C)(1 - K)."""
    if samples.space == "CMYK":
        light = 1 - unit(samples.colour)
        return light[:, :, :3] * light[:, :, 3:]
    colour = unit(samples.colour)
    return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


def _convert(samples: Samples) -> FloatArray | None:
    """Apply the profile; None if it does not fit or changes nothing."""
    profile = parse_matrix_profile(samples.profile or b"")
    if profile is None:
        return _convert_with_lcms(samples)
    if len(profile.curves) != samples.colour.shape[2] or samples.space == "CMYK":
        return None
    if _is_srgb(profile):
        return None
    return _convert_with_matrix(profile, samples.colour)


def _is_srgb(profile: MatrixProfile) -> bool:
    """Tell whether no colour moves by a grey level: sRGB itself, whose rounding would only add noise."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * len(profile.curves), indexing="ij"), axis=-1)
    grid = grid.reshape(1, -1, len(profile.curves))
    return bool(np.abs(_convert_with_matrix(profile, grid) - unit(grid)).max() < _GREY_LEVEL)


def _convert_with_matrix(profile: MatrixProfile, colour: AnyArray) -> FloatArray:
    """Linearise by table (one entry for each possible sample), multiply, encode; in blocks of rows."""
    scale = np.iinfo(colour.dtype).max
    axis = np.arange(scale + 1) / scale
    tables = [curve(axis).astype(np.float32) for curve in profile.curves]
    to_linear_srgb = None
    if profile.to_xyz is not None:
        to_linear_srgb = (np.linalg.inv(_SRGB_TO_XYZ) @ profile.to_xyz).T.astype(np.float32)
    result = np.empty((*colour.shape[:2], 3), np.float32)
    for start in range(0, len(colour), _BLOCK_ROWS):
        block = colour[start : start + _BLOCK_ROWS]
        linear = np.stack([table[block[:, :, i]] for i, table in enumerate(tables)], axis=2)
        if to_linear_srgb is not None:
            linear = linear @ to_linear_srgb
        result[start : start + _BLOCK_ROWS] = _encode(np.clip(linear, 0, 1))
    return result


def _encode(linear: FloatArray) -> FloatArray:
    """Return the sRGB encoding of linear light (IEC 61966-2-1)."""
    encoded = np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), np.float32(12.92) * linear, encoded)


def _convert_with_lcms(samples: Samples) -> FloatArray | None:
    """Apply any profile with Little CMS, at 8 bits."""
    colour = samples.colour
    if colour.dtype != np.uint8:
        colour = np.rint(unit(colour) * 255).astype(np.uint8)
    height, width, channels = colour.shape
    mode = {1: "L", 3: samples.space, 4: "CMYK"}[channels]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(colour).tobytes())
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(samples.profile or b"")),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError):
        return None
    return None if converted is None else unit(np.asarray(converted))
