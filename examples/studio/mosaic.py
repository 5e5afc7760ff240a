"""Style image: a glass mosaic of fishes under a sun, its stones laid along the contours of the design.

The stones are a centroidal Voronoi diagram under the L-infinity distance turned to a direction field
(Hausner, "Simulating Decorative Mosaics", SIGGRAPH 2001), found by jump flooding instead of drawn cones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from studio.noise import Array, Ints, Mask, Tile, cell_random, grid, hexes, ramp, sample, shrink, smoothstep, to_bytes

SEED = 23
STONE = 0.016
"""Distance between neighbouring stones, in picture widths."""
ROUNDS = 14
OVERSAMPLING = 2

SEA = hexes("0b3b40", "11605f", "1d8a80", "57b8a0", "a9dcc0")
SKY = hexes("f3e6c4", "eccb8a", "e59d58", "d9663f", "b23a34")
GOLD = hexes("7a4a10", "b5791c", "e0aa33", "f6d36b", "fff0bd")
FISH = hexes("5c1218", "a3231f", "d6452b", "ee7d3c", "f9bf73")
BONE = hexes("b9a684", "d8caa9", "efe6cf", "fbf6e6")
DARK = hexes("120d14", "1d1620", "2c2230")

REGIONS = (SKY, GOLD, SEA, FISH, BONE, DARK, FISH)
"""Colours by region index."""
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)

FISHES = ((0.35, 0.475, 0.47, 0.20), (0.78, 0.565, 0.36, 2.95), (0.155, 0.672, 0.22, -0.12))
"""Centre x, centre y, length in picture widths, heading in radians."""
SUN_AT = (0.73, 0.155)


@dataclass(frozen=True)
class Stones:
    """Centres of the stones in picture widths, and the cosine and sine of their direction."""

    x: Array
    y: Array
    cos: Array
    sin: Array

    @classmethod
    def at(cls, x: Array, y: Array, angle: Array) -> "Stones":
        """Place stones and turn them into the direction given as a picture of angles."""
        h, w = angle.shape
        turn = angle[np.clip(y * w, 0, h - 1).astype(np.int64), np.clip(x * w, 0, w - 1).astype(np.int64)]
        return cls(x, y, np.cos(turn), np.sin(turn))

    def distance(self, label: Ints, x: Array, y: Array) -> Array:
        """L-infinity distance from (x, y) to the labelled stones, in the stones' own axes."""
        dx, dy, c, s = x - self.x[label], y - self.y[label], self.cos[label], self.sin[label]
        return np.maximum(np.abs(c * dx + s * dy), np.abs(c * dy - s * dx))


def render(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Lay the mosaic: height x width x 3, RGB."""
    stones = _relax(_angle(design(*grid(width // 2, height // 2)).contour))
    x, y = grid(width * OVERSAMPLING, height * OVERSAMPLING)
    return to_bytes(shrink(_lay(stones, _nearest(stones, x, y), x, y), OVERSAMPLING))


class Plan:
    """The cartoon of the mosaic at some points.

    Attributes:
        contour: Stones lie in rows along its level lines.
        tone: Place in the region's colours, 0..1.
        region: Index into REGIONS.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.contour = np.zeros(shape, np.float32)
        self.tone = np.zeros(shape, np.float32)
        self.region = np.zeros(shape, np.int64)

    def put(self, where: Mask, region: int, tone: Array | float | None = None, contour: Array | None = None) -> None:
        """Draw a region over what is there; without tone or contour, those below stay."""
        self.region = np.where(where, region, self.region)
        self.tone = self.tone if tone is None else np.where(where, tone, self.tone).astype(np.float32)
        self.contour = self.contour if contour is None else np.where(where, contour, self.contour)


def design(x: Array, y: Array) -> Plan:
    """Draw the cartoon at points given in picture widths."""
    plan = Plan(x.shape)
    cloud = Tile(SEED, 256, 2.0, 2, 10)
    wobble = 0.012 * sample(cloud, x * 0.5, y * 0.5)
    sun = np.hypot(x - SUN_AT[0], y - SUN_AT[1])
    turn = np.arctan2(y - SUN_AT[1], x - SUN_AT[0])
    plan.put(sun >= 0, 0, 0.5 + 0.42 * np.sin(turn * 14 + 14 * sun) - 0.1 * sun, sun + wobble)
    plan.put(sun < 0.120, 3, 0.3)
    plan.put(sun < 0.104, 1, 0.95 - 5 * sun + 0.12 * np.cos(sun * 260), sun)

    wave = y - (0.30 + 0.018 * np.sin(x * 14 + 1) + 0.012 * np.sin(x * 31))
    swell = wave + 0.014 * np.sin(x * 21 + wave * 18) + wobble
    depth = 0.42 + 0.38 * np.sin(swell * 62) - 0.25 * wave + 0.1 * sample(cloud, x, y)
    plan.put(wave > -0.001, 4, 0.8, swell)
    plan.put(wave > 0.0165, 2, depth)
    for cx, cy, length, heading in FISHES:
        _fish(plan, x - cx, y - cy, length, heading)
    return plan


def _fish(plan: Plan, dx: Array, dy: Array, length: float, heading: float) -> None:
    """Draw a fish: a body between two arcs, forked tail, back fin, gill, eye; u runs to its nose."""
    u = (np.cos(heading) * dx + np.sin(heading) * dy) / length
    v = (np.cos(heading) * dy - np.sin(heading) * dx) / length * np.sign(np.cos(heading))
    v = v - 0.05 * np.sin(u * 6)
    chord = np.clip(1 - ((u - 0.10) / 0.40) ** 2, 0, 1)
    body = np.where(np.abs(u - 0.10) < 0.41, np.abs(v) - 0.215 * chord**0.75, 0.5)
    reach = np.clip(-0.20 - u, 0, 1)
    tail = np.maximum.reduce([np.abs(v) - 0.03 - 0.8 * reach, -0.40 - u - 0.3 * np.abs(v), u + 0.2])
    fin = np.maximum.reduce([np.abs(u - 0.04) - 0.20, v, -v - 0.215 * chord**0.75 - 0.085 + 0.25 * (u + 0.1)])
    outside = (np.minimum(np.minimum(body, tail), fin) * length).astype(np.float32)

    plan.contour = np.where(outside < STONE * 2.2, outside, plan.contour)
    plan.put(outside < STONE * 1.05, 5, 0.5)
    plan.put(outside <= 0, 1, 0.40 + 0.40 * np.sin(u * 70 + 25 * np.abs(v)), (np.abs(v) + 0.5 * u) * length)
    scales = 0.52 + 0.34 * np.sin(u * 44 + 26 * np.abs(v)) - 1.0 * v
    plan.put(body <= 0, 6, scales, np.minimum(-body, 0.5) * length)
    plan.put((body <= 0) & (v > 0.10 - 0.1 * (u > 0.3)), 4, 0.7)
    head = np.hypot(u - 0.56, v)
    plan.put((body <= 0) & (head < 0.27), 1, 0.45 + 1.2 * (0.27 - head), head * length)
    plan.put((body <= 0) & (np.abs(head - 0.285) < 0.025), 5, 0.5, head * length)
    eye = np.hypot(u - 0.385, v + 0.045)
    plan.put(eye < 0.055, 4, 0.9, eye * length)
    plan.put(eye < 0.026, 5, 0.2, eye * length)


def _angle(contour: Array) -> Array:
    """Direction of the level lines, in radians."""
    dy, dx = np.gradient(contour)
    return np.asarray(np.arctan2(dx, -dy), np.float32)


def _relax(angle: Array) -> Stones:
    """Spread the stones evenly over a picture with the given directions (Lloyd's iteration)."""
    h, w = angle.shape
    x, y = grid(w, h)
    rng = np.random.default_rng(SEED)
    gx, gy = np.meshgrid(np.arange(STONE / 2, 1, STONE), np.arange(STONE / 2, h / w, STONE))
    sx = (gx.ravel() + rng.uniform(-0.3, 0.3, gx.size) * STONE).astype(np.float32)
    sy = (gy.ravel() + rng.uniform(-0.3, 0.3, gx.size) * STONE).astype(np.float32)
    stones = Stones.at(sx, sy, angle)
    for _ in range(ROUNDS):
        label = _nearest(stones, x, y)
        size = np.maximum(np.bincount(label.ravel(), minlength=len(sx)), 1)
        sx = (np.bincount(label.ravel(), x.ravel(), len(sx)) / size).astype(np.float32)
        sy = (np.bincount(label.ravel(), y.ravel(), len(sx)) / size).astype(np.float32)
        stones = Stones.at(sx, sy, angle)
    return stones


def _nearest(stones: Stones, x: Array, y: Array) -> Ints:
    """Index of the stone nearest to each pixel, by jump flooding (Rong and Tan, I3D 2006)."""
    h, w = x.shape
    label = np.zeros((h, w), np.int64)
    row = np.clip(stones.y * w, 0, h - 1).astype(np.int64)
    column = np.clip(stones.x * w, 0, w - 1).astype(np.int64)
    label[row, column] = np.arange(len(row))
    best = np.full((h, w), np.inf, np.float32)
    best[row, column] = 0
    step = 1 << int(STONE * w).bit_length()
    while step:
        for dy, dx in NEIGHBOURS:
            theirs = _shifted(label, dy * step, dx * step)
            distance = stones.distance(theirs, x, y)
            closer = distance < best
            best = np.where(closer, distance, best)
            label = np.where(closer, theirs, label)
        step //= 2
    return label


def _joint(stones: Stones, label: Ints, x: Array, y: Array) -> Array:
    """Distance to the nearest joint between two stones, in picture widths (roughly)."""
    reach = max(int(STONE * x.shape[1] * 0.35), 1)
    own = stones.distance(label, x, y)
    gap = np.full(x.shape, STONE, np.float32)
    for dy, dx in NEIGHBOURS:
        theirs = _shifted(label, dy * reach, dx * reach)
        other = np.where(theirs == label, np.inf, stones.distance(theirs, x, y))
        gap = np.minimum(gap, (other - own) / 2)
    return gap


def _shifted(label: Ints, dy: int, dx: int) -> Ints:
    """Each pixel's neighbour at an offset, the border repeated."""
    h, w = label.shape
    rows, columns = np.clip(np.arange(h) + dy, 0, h - 1), np.clip(np.arange(w) + dx, 0, w - 1)
    return label[rows[:, None], columns[None, :]]


def _lay(stones: Stones, label: Ints, x: Array, y: Array) -> Array:
    """Colour the stones and light them: each is a little tilted, domed and glossy."""
    index = np.arange(len(stones.x))
    plan = design(stones.x, stones.y)
    chance = [cell_random(index, 0, SEED + k) for k in range(5)]
    tone = plan.tone + (chance[0] - 0.5) * 0.34
    colours = np.select([(plan.region == k)[:, None] for k in range(7)], [ramp(r, tone) for r in REGIONS])
    # Handmade glass: every stone has its own lightness, and here and there a golden one is set in sky and sea.
    colours = colours * (0.86 + 0.28 * chance[1][:, None])
    golden = (chance[2] > 0.965) & ((plan.region == 0) | (plan.region == 2))
    colours = np.where(golden[:, None], ramp(GOLD, chance[0]), colours)

    gap = _joint(stones, label, x, y) / STONE
    veins = Tile(SEED + 9, 512, 1.0, 8, 200)
    grit = sample(veins, x * 3, y * 3)
    body = smoothstep(0.035, 0.10, gap + 0.012 * grit)
    dx, dy = (x - stones.x[label]) / STONE, (y - stones.y[label]) / STONE
    tilt = (chance[3][label] - 0.5) * dx + (chance[4][label] - 0.5) * dy
    edge = 1 - smoothstep(0.05, 0.22, gap)
    light = 1 + 0.5 * tilt - 0.35 * edge * (dx + dy) + 0.05 * grit
    spot = np.hypot(dx + 0.2 - 0.3 * (chance[3][label] - 0.5), dy + 0.22)
    shine = 0.3 * smoothstep(0.12, 0.0, spot) * (chance[4][label] > 0.45)
    glass = colours[label] * light[..., None] + shine[..., None]
    depth = (1 + 0.10 * grit) * (0.55 + 0.45 * smoothstep(0.06, -0.02, gap))
    grout = np.asarray([0.30, 0.26, 0.23], np.float32) * depth[..., None]
    return np.asarray(np.clip(grout * (1 - body[..., None]) + glass * body[..., None], 0, 1), np.float32)
