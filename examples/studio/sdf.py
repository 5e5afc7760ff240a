"""Signed distance shapes and sphere tracing (Hart 1996), one shape at a time inside its bounding sphere.

Points and directions are float32, N x 3; y is up. A shape's own coordinates have its centre at the origin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from studio.noise import Array, Ints

Distance: TypeAlias = Callable[[Array], Array]
Paint: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]
FAR = np.float32(1e9)
STEPS = 70


@dataclass(frozen=True)
class Thing:
    """A shape in the scene.

    Attributes:
        distance: Signed distance (or a lower bound of it) in own coordinates.
        place: Its centre in the scene.
        turn: 3 x 3 rotation from own to scene coordinates.
        radius: A sphere about the centre that holds it.
        paint: Linear colour (N x 3) and gloss (N) from points and normals in own coordinates.
    """

    distance: Distance
    place: Array
    turn: Array
    radius: float
    paint: Paint

    def own(self, point: Array) -> Array:
        """Scene points in own coordinates."""
        return np.asarray((point - self.place) @ self.turn, np.float32)

    def normal(self, own: Array) -> Array:
        """Outward unit normals at points of the surface, in own coordinates (central differences)."""
        step = np.eye(3, dtype=np.float32) * np.float32(2e-3)
        slope = np.stack([self.distance(own + s) - self.distance(own - s) for s in step], 1)
        return np.asarray(slope / (np.linalg.norm(slope, axis=1)[:, None] + 1e-12), np.float32)


def rotation(tilt: float = 0, heading: float = 0, roll: float = 0) -> Array:
    """Rotation about x, then z, then y, in radians."""
    cx, sx, cy, sy, cz, sz = np.cos(tilt), np.sin(tilt), np.cos(heading), np.sin(heading), np.cos(roll), np.sin(roll)
    about_x = np.asarray([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.asarray([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.asarray([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_z @ about_x, np.float32)


def polar(radii: Array) -> Distance:
    """A fruit: the radius at equal steps of the angle from the top (+y) to the bottom."""
    angles = np.linspace(0, np.pi, len(radii))

    def distance(p: Array) -> Array:
        size = np.sqrt(np.einsum("ni,ni->n", p, p)) + np.float32(1e-9)
        angle = np.arccos(np.clip(p[:, 1] / size, -1, 1))
        return np.asarray((size - np.interp(angle, angles, radii)) * 0.75, np.float32)

    return distance


def turned(profile: Sequence[tuple[float, float]], wall: float = 0.0, floor: float = 0.0) -> Distance:
    """A vessel from the lathe: (height, radius) points on a smooth curve; with a wall, hollow above ``floor``."""
    heights, radii = _smooth(profile)
    bottom, top = heights[0], heights[-1]
    steep = float(np.max(np.abs(np.gradient(radii, heights))))
    bound = 1 / np.sqrt(1 + min(steep, 3.0) ** 2)

    def distance(p: Array) -> Array:
        across = np.hypot(p[:, 0], p[:, 2])
        outer = np.maximum(
            (across - np.interp(p[:, 1], heights, radii)) * bound, np.maximum(p[:, 1] - top, bottom - p[:, 1])
        )
        if wall:
            inner = np.maximum((across - np.interp(p[:, 1], heights, radii) + wall) * bound, floor - p[:, 1])
            outer = np.maximum(outer, -inner)
        return np.asarray(outer, np.float32)

    return distance


def _smooth(profile: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    """A Catmull-Rom curve through (height, radius) points, sampled finely."""
    points = np.asarray([profile[0], *profile, profile[-1]], np.float64)
    t = np.linspace(0, 1, 24, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    curve = np.concatenate([*pieces, points[-1:]])
    # Strictly rising, so that the curve stays a function of the height.
    heights = np.maximum.accumulate(curve[:, 0]) + np.linspace(0, 1e-3, len(curve))
    return heights.astype(np.float32), curve[:, 1].astype(np.float32)


def torus(ring: float, thick: float, squash: float) -> Distance:
    """A ring in the x-y plane, its height times ``squash``; for handles."""

    def distance(p: Array) -> Array:
        around = np.hypot(p[:, 0], p[:, 1] / squash) - ring
        return np.asarray((np.hypot(around, p[:, 2] * 0.8) - thick) * 0.6, np.float32)

    return distance


def rod(height: float, thick: float, bend: float) -> Distance:
    """A bent stalk that stands on the origin."""

    def distance(p: Array) -> Array:
        y = np.clip(p[:, 1], 0, height)
        d = np.sqrt((p[:, 0] - bend * y * y / height) ** 2 + (p[:, 1] - y) ** 2 + p[:, 2] ** 2)
        return np.asarray((d - thick * (0.7 + 0.5 * y / height)) * 0.8, np.float32)

    return distance


def _enter(thing: Thing, origin: Array, direction: Array, margin: float = 1.0) -> tuple[Ints, Array, Array]:
    """Rays that meet the bounding sphere, and where they enter and leave it."""
    to = thing.place - origin
    along = np.einsum("ni,ni->n", to, direction)
    deep = (thing.radius * margin) ** 2 - (np.einsum("ni,ni->n", to, to) - along**2)
    rows = np.flatnonzero((deep > 0) & (along + np.sqrt(np.maximum(deep, 0)) > 0))
    half = np.sqrt(deep[rows])
    return rows, np.maximum(along[rows] - half, 0), along[rows] + half


def trace(things: list[Thing], origin: Array, direction: Array) -> tuple[Array, Ints]:
    """First thing that each ray meets: distance (FAR for none) and index (-1 for none)."""
    best = np.full(len(direction), FAR, np.float32)
    which = np.full(len(direction), -1, np.int64)
    for index, thing in enumerate(things):
        rows, t, end = _enter(thing, origin, direction)
        end = np.minimum(end, best[rows])
        o, d = thing.own(origin[rows]), direction[rows] @ thing.turn
        live = np.arange(len(rows))
        for _ in range(STEPS):
            gap = thing.distance(o[live] + d[live] * t[live, None])
            hit = gap < 4e-4
            done = live[hit]
            closer = t[done] < best[rows[done]]
            best[rows[done[closer]]] = t[done[closer]]
            which[rows[done[closer]]] = index
            t[live] += gap
            live = live[~hit & (t[live] < end[live])]
            if len(live) == 0:
                break
    return best, which


def shadow(things: list[Thing], origin: Array, direction: Array, hardness: float) -> Array:
    """Share of a lamp that each point sees, 0..1, with a penumbra that widens with distance."""
    seen = np.ones(len(origin), np.float32)
    for thing in things:
        rows, t, end = _enter(thing, origin, direction, 1.25)
        t = np.maximum(t, 0.01)
        o, d = thing.own(origin[rows]), direction[rows] @ thing.turn
        live, least = np.arange(len(rows)), np.ones(len(rows), np.float32)
        for _ in range(40):
            gap = thing.distance(o[live] + d[live] * t[live, None])
            least[live] = np.minimum(least[live], 0.5 + 0.5 * hardness * gap / t[live])
            t[live] += np.clip(gap, 0.012, 0.15)
            live = live[(least[live] > 0) & (t[live] < end[live])]
            if len(live) == 0:
                break
        least = np.clip(least, 0, 1)
        seen[rows] = np.minimum(seen[rows], least * least * (3 - 2 * least))
    return seen


def occlusion(things: list[Thing], point: Array, normal: Array, reach: float = 0.30) -> Array:
    """Share of the surroundings that each point sees, 0..1, from distances along its normal."""
    dark = np.zeros(len(point), np.float32)
    for step in np.linspace(0.12, 1, 4):
        probe = point + normal * np.float32(step * reach)
        gap = np.full(len(point), step * reach, np.float32)
        for thing in things:
            to = probe - thing.place
            near = np.flatnonzero(np.einsum("ni,ni->n", to, to) < (thing.radius + step * reach) ** 2)
            gap[near] = np.minimum(gap[near], thing.distance(thing.own(probe[near])))
        dark += np.asarray((1 - gap / (step * reach)) * (1.1 - 0.6 * step), np.float32)
    return np.asarray(np.exp(-0.75 * np.clip(dark, 0, None)), np.float32)
