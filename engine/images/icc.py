"""ICC profiles made of tone curves and a matrix, in floating point.

Nearly every RGB and grey profile is of this kind (the three-component matrix model and the monochrome model of
ICC.1:2010, annex F). Little CMS, as Pillow offers it, rounds to 8 bits and would lose what a 16-bit file has more; for
profiles made of tables (CMYK, scanners) see `colour`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from impasto.models.errors import printable

DoubleArray = npt.NDArray[np.float64]
Curve = Callable[[DoubleArray], DoubleArray]

_HEADER_BYTES = 128
_LONGEST_NAME = 60
_TABLE_TAGS = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")

# Number of parameters of each parametric curve type, and where they go among (g, a, b, c, d, e, f).
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}


@dataclass(frozen=True, eq=False)
class MatrixProfile:
    """A profile's way from device values to colour.

    Attributes:
        curves: one for each channel, device value 0..1 to linear light 0..1.
        to_xyz: 3 x 3, linear RGB to XYZ under D50 (columns are the primaries); None for a grey profile.
    """

    curves: tuple[Curve, ...]
    to_xyz: DoubleArray | None


def parse_matrix_profile(profile: bytes) -> MatrixProfile | None:
    """Return the curves and matrix of a profile, or None if it is broken or of another kind."""
    try:
        space, tags = profile[16:20], _tags(profile)
        if any(tag in tags for tag in _TABLE_TAGS):
            return None
        if space == b"GRAY":
            return MatrixProfile((_curve(tags[b"kTRC"]),), None)
        if space != b"RGB " or profile[20:24] != b"XYZ ":
            return None
        curves = tuple(_curve(tags[tag]) for tag in (b"rTRC", b"gTRC", b"bTRC"))
        columns = [_xyz(tags[tag]) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")]
        return MatrixProfile(curves, np.stack(columns, axis=1))
    except (KeyError, ValueError, struct.error):
        return None


def profile_name(profile: bytes) -> str:
    """Return a profile's description, or "without a name"."""
    try:
        data = _tags(profile)[b"desc"]
        if data[:4] == b"mluc":
            _, length, offset = struct.unpack_from(">4sII", data, 16)
            name = data[offset : offset + length].decode("utf-16-be", "replace")
        else:
            (length,) = struct.unpack_from(">I", data, 8)
            name = data[12 : 12 + length].decode("latin-1")
    except (KeyError, struct.error):
        name = ""
    name = printable(name.strip("\0 "))[:_LONGEST_NAME]
    return f"named {name!r}" if name else "without a name"


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return each tag's data by its signature.

    Raises:
        struct.error: the profile ends early.
    """
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    tags = {}
    for index in range(min(count, 1024)):
        signature, offset, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * index)
        tags[signature] = profile[offset : offset + size]
    return tags


def _xyz(data: bytes) -> DoubleArray:
    """Read an XYZType: s15Fixed16 numbers."""
    if data[:4] != b"XYZ ":
        raise ValueError("not an XYZType")
    return np.array(struct.unpack_from(">3i", data, 8), np.float64) / 65536


def _curve(data: bytes) -> Curve:
    """Read a curveType or a parametricCurveType."""
    if data[:4] == b"para":
        return _parametric_curve(data)
    if data[:4] != b"curv":
        raise ValueError("not a curve")
    (count,) = struct.unpack_from(">I", data, 8)
    if count == 0:
        return lambda x: x
    entries = np.frombuffer(data, ">u2", count, 12).astype(np.float64)
    if count == 1:
        exponent = entries[0] / 256  # u8Fixed8
        return lambda x: x**exponent
    return lambda x: np.interp(x * (count - 1), np.arange(count), entries / 65535)


def _parametric_curve(data: bytes) -> Curve:
    """Y = (a X + b)^g + e from X = d on, and c X + f below; the shorter types are special cases."""
    (kind,) = struct.unpack_from(">H", data, 8)
    count = _PARAMETERS[kind]
    given = np.array(struct.unpack_from(f">{count}i", data, 12), np.float64) / 65536
    g, a, b, c, d, e, f = np.concatenate([given, np.zeros(7 - count)])
    if kind == 0:
        a = 1.0
    elif kind in (1, 2):
        if a == 0:
            raise ValueError("parametric curve without a slope")
        c, d, e, f = 0.0, -b / a, c, c
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
