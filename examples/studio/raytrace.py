"""Ray casting of convex solids and picture cards, for many rays at once.

Points and directions are float32, N x 3; y is up, units are metres. Directions are unit vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from studio.noise import Array, Ints, Mask

CHUNK = 1 << 15
FAR = np.float32(1e9)


@dataclass(frozen=True)
class Solid:
    """A convex polyhedron: the points p with normals @ p <= offsets.

    Attributes:
        normals: P x 3, outward unit normals.
        offsets: P.
        centre: Centre of a bounding sphere.
        radius: Its radius.
        surface: What it is made of; the renderer gives this its meaning.
        frame: 4 x 3: origin, then the axes u (along the front), v (up), w (into the depth).
        look: Parameters of the surface.
    """

    normals: Array
    offsets: Array
    centre: Array
    radius: float
    surface: int
    frame: Array
    look: Array = field(repr=False)


@dataclass(frozen=True)
class Card:
    """A flat picture standing in the scene: RGBA (rows x columns x 4), seen from both sides.

    ``corner`` is the lower left corner, ``right`` and ``up`` are the edges in metres.
    """

    picture: Array
    corner: Array
    right: Array
    up: Array


@dataclass(frozen=True)
class Hits:
    """Where rays ended: distance (FAR for none), solid and its plane (-1 for none), card colour and flag."""

    distance: Array
    solid: Ints
    plane: Ints
    card: Ints
    colour: Array


def solid(
    frame: Array, halfspaces: Sequence[Sequence[float]], bounds: Sequence[float], surface: int, look: Array
) -> Solid:
    """Build a solid from half-spaces in local coordinates.

    Args:
        frame: Origin and axes, 4 x 3.
        halfspaces: (a, b, c, d) each, meaning a u + b v + c w <= d.
        bounds: u0, u1, v0, v1, w0, w1: a box around it.
        surface: See Solid.
        look: See Solid.
    """
    planes, axes = np.asarray(halfspaces, np.float64), frame.astype(np.float64)
    size = np.linalg.norm(planes[:, :3], axis=1)
    normals = planes[:, :3] / size[:, None] @ axes[1:]
    offsets = planes[:, 3] / size + normals @ axes[0]
    low, high = np.asarray(bounds[::2]), np.asarray(bounds[1::2])
    centre = axes[0] + (low + high) / 2 @ axes[1:]
    return Solid(
        normals=normals.astype(np.float32),
        offsets=offsets.astype(np.float32),
        centre=centre.astype(np.float32),
        radius=float(np.linalg.norm(high - low) / 2),
        surface=surface,
        frame=frame,
        look=look,
    )


def box(u0: float, u1: float, v0: float, v1: float, w0: float, w1: float) -> list[tuple[float, ...]]:
    """Half-spaces of a box in local coordinates."""
    return [(-1, 0, 0, -u0), (1, 0, 0, u1), (0, -1, 0, -v0), (0, 1, 0, v1), (0, 0, -1, -w0), (0, 0, 1, w1)]


def trace(solids: list[Solid], cards: list[Card], origin: Array, direction: Array) -> Hits:
    """Find the first thing that each ray meets."""
    count = len(direction)
    hits = Hits(
        np.full(count, FAR, np.float32),
        np.full(count, -1, np.int64),
        np.full(count, -1, np.int64),
        np.full(count, -1, np.int64),
        np.zeros((count, 3), np.float32),
    )
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        o, d = np.ascontiguousarray(origin[rows].T), np.ascontiguousarray(direction[rows].T)
        best = hits.distance[rows]
        for index, item in enumerate(solids):
            near, enter, plane = _meet(item, o, d)
            closer = enter < best[near]
            near = near[closer]
            best[near] = enter[closer]
            hits.solid[rows][near] = index
            hits.plane[rows][near] = plane[closer]
        for index, card in enumerate(cards):
            near, enter, pixel = _look_up(card, o, d)
            closer = (enter < best[near]) & (pixel[:, 3] > 0.5)
            near = near[closer]
            best[near] = enter[closer]
            hits.solid[rows][near] = -1
            hits.card[rows][near] = index
            hits.colour[rows][near] = pixel[closer, :3]
    hits.card[hits.solid >= 0] = -1
    return hits


def blocked(solids: list[Solid], cards: list[Card], origin: Array, direction: Array) -> Mask:
    """Say which rays meet anything at all: shadow rays."""
    result = np.zeros(len(direction), np.bool_)
    for start in range(0, len(direction), CHUNK):
        rows = slice(start, start + CHUNK)
        o, d = np.ascontiguousarray(origin[rows].T), np.ascontiguousarray(direction[rows].T)
        shadow = result[rows]
        for item in solids:
            near, _, _ = _meet(item, o, d)
            shadow[near] = True
        for card in cards:
            near, _, pixel = _look_up(card, o, d)
            shadow[near[pixel[:, 3] > 0.5]] = True
    return result


def _meet(item: Solid, o: Array, d: Array) -> tuple[Ints, Array, Ints]:
    """Rays (3 x N) that enter a solid: their indices, distance and the plane they pass."""
    cx, cy, cz = (item.centre[axis] - o[axis] for axis in range(3))
    along = cx * d[0] + cy * d[1] + cz * d[2]
    apart = cx * cx + cy * cy + cz * cz - along * along
    near = np.flatnonzero((apart < item.radius**2) & (along > -item.radius))
    if len(near) == 0:
        return near, np.empty(0, np.float32), near
    o, d = o[:, near], d[:, near]
    enter = np.full(len(near), 1e-3, np.float32)
    leave = np.full(len(near), FAR, np.float32)
    plane = np.full(len(near), -1, np.int64)
    for index, (normal, offset) in enumerate(zip(item.normals, item.offsets, strict=True)):
        speed = normal[0] * d[0] + normal[1] * d[1] + normal[2] * d[2]
        gap = offset - (normal[0] * o[0] + normal[1] * o[1] + normal[2] * o[2])
        t = gap / np.where(np.abs(speed) < 1e-9, np.float32(1e-9), speed)
        later = (speed < 0) & (t > enter)
        enter = np.where(later, t, enter)
        plane = np.where(later, index, plane)
        leave = np.where(speed >= 0, np.minimum(leave, t), leave)
    inside = (enter < leave) & (plane >= 0)
    return near[inside], enter[inside], plane[inside]


def _look_up(card: Card, o: Array, d: Array) -> tuple[Ints, Array, Array]:
    """Rays (3 x N) that pass a card's rectangle: their indices, distance and the card's pixel there."""
    normal = np.cross(card.right, card.up)
    speed = normal @ d
    t = (normal @ card.corner - normal @ o) / np.where(np.abs(speed) < 1e-9, np.float32(1e-9), speed)
    ou, ov = (edge / (edge @ edge) for edge in (card.right, card.up))
    u = ou @ o + t * (ou @ d) - ou @ card.corner
    v = ov @ o + t * (ov @ d) - ov @ card.corner
    near = np.flatnonzero((t > 1e-3) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1))
    rows, columns = card.picture.shape[:2]
    row = ((1 - v[near]) * (rows - 1)).astype(np.int64)
    return near, t[near].astype(np.float32), card.picture[row, (u[near] * columns).astype(np.int64)]
