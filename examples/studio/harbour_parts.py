"""Building blocks of the harbour: surfaces by name, frames to build in, boxes and bars."""

from collections.abc import Sequence

import numpy as np

from studio.noise import Array
from studio.raytrace import Solid, box, solid

WALL, ROOF, MASONRY, HULL, PLAIN, CLOTH = range(6)
"""Surfaces; harbour_surfaces says what they look like."""
PLASTER, TIMBERED, BRICK, STONE = range(4)
"""Kinds of wall."""


def frame(x: float, y: float, z: float, heading: float) -> Array:
    """Axes at a point: u turned ``heading`` radians from +x towards +z, v up, w horizontal to the left of u."""
    c, s = np.cos(heading), np.sin(heading)
    return np.asarray([(x, y, z), (c, 0, s), (0, 1, 0), (-s, 0, c)], np.float32)


def moved(base: Array, u: float, v: float, w: float, turn: float = 0.0) -> Array:
    """A frame displaced, and turned about its v axis, in its own coordinates."""
    c, s = np.cos(turn), np.sin(turn)
    origin = base[0] + u * base[1] + v * base[2] + w * base[3]
    return np.stack([origin, c * base[1] + s * base[3], base[2], c * base[3] - s * base[1]]).astype(np.float32)


def look(*values: float) -> Array:
    """Parameters of a surface, padded to the 16 that every solid carries."""
    return np.asarray([*values, *[0.0] * (16 - len(values))], np.float32)


def block(base: Array, bounds: Sequence[float], surface: int, appearance: Array) -> Solid:
    """A box: u0, u1, v0, v1, w0, w1 in a frame."""
    return solid(base, box(*bounds), bounds, surface, appearance)


def bar(base: Array, start: Sequence[float], end: Sequence[float], half: float, appearance: Array) -> Solid:
    """A thin square bar between two points of a frame, ``half`` its thickness."""
    a, b = (base[0] + np.asarray(p, np.float32) @ base[1:] for p in (start, end))
    size = float(np.linalg.norm(b - a))
    v = (b - a) / size
    u = np.cross(v, base[3] if abs(v @ base[3]) < 0.9 else base[1])
    u /= np.linalg.norm(u)
    axes = np.stack([a, u, v, np.cross(u, v)]).astype(np.float32)
    return block(axes, (-half, half, 0, size, -half, half), PLAIN, appearance)
