"""Style image: an oil painting of a stormy sky over ripe fields, thousands of strokes along a flow."""

import numpy as np
import numpy.typing as npt

from studio.noise import Array, Tile, grid, hexes, ramp, sample, shrink, to_bytes
from studio.strokes import Brush, Canvas

SEED = 11
OVERSAMPLING = 2

SKY = hexes("0b1a44", "12307a", "1f4fa0", "2f74b8", "6fa6c9", "c4d6cf", "f4ecd0")
SUN = hexes("c9661a", "e8951f", "f5bf3a", "fbe07a", "fdf3cf")
FIELD = hexes("4a2a12", "8a4d18", "bf7a1e", "dca02c", "efc557", "f9e6a4")
HILLS = hexes("0c1c30", "12343f", "1d5352", "3f7a5c", "86a05a")

VORTICES = ((0.30, 0.19, 0.100, 1.0), (0.555, 0.30, 0.060, -0.8), (0.97, 0.33, 0.085, 0.8), (0.03, 0.36, 0.060, -0.7))
"""Centre x, centre y, radius, strength, all in picture widths."""
SUN_AT = (0.765, 0.175)

LAYERS = (
    Brush(0.11, 0.020, 2600, load=0.8, streaks=0.09),
    Brush(0.075, 0.0115, 7000, load=1.0, streaks=0.08),
    Brush(0.045, 0.0068, 12000, load=1.1, streaks=0.07),
)


def render(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Paint the picture: height x width x 3, RGB."""
    w, h = width * OVERSAMPLING, height * OVERSAMPLING
    rng = np.random.default_rng(SEED)
    x, y = grid(w, h)
    tone, kind, flow = design(x, y)
    canvas = Canvas(pigment(tone * 0.5, kind))
    for brush in LAYERS:
        starts = (rng.random((brush.count, 2)) * (w * 1.06, h * 1.06) - (0.03 * w, 0.03 * h)).astype(np.float32)
        ix = np.clip(starts[:, 0], 0, w - 1).astype(np.int64)
        iy = np.clip(starts[:, 1], 0, h - 1).astype(np.int64)
        broken = tone[iy, ix] + rng.normal(0, 0.12, brush.count).astype(np.float32)
        colours = pigment(broken, kind[iy, ix])
        # Now and then a stroke of another region's colour ties the picture together.
        stray = rng.random(brush.count) < 0.03
        colours[stray] = pigment(broken, (kind[iy, ix] + 2) % 4)[stray]
        canvas.stroke(starts, colours, brush, flow, rng)
    return to_bytes(shrink(canvas.lit(), OVERSAMPLING))


def pigment(tone: Array, kind: npt.NDArray[np.int64]) -> Array:
    """Colour of a tone in 0..1 in a region: 0 sky, 1 field, 2 sun, 3 hills."""
    choices = np.stack([ramp(table, tone) for table in (SKY, FIELD, SUN, HILLS)])
    return np.asarray(np.take_along_axis(choices, kind[None, ..., None], 0)[0], np.float32)


def design(x: Array, y: Array) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Lay out the picture: tone in 0..1, region, and the direction of the strokes."""
    cloud, grain = Tile(SEED, 512, 2.2, 2, 12), Tile(SEED + 1, 512, 1.2, 6, 60)
    psi, spiral = _stream(x, y)
    psi = psi + 0.010 * sample(cloud, x * 0.6, y * 0.6)
    sun = np.hypot(x - SUN_AT[0], y - SUN_AT[1])
    bands = 0.5 + 0.5 * np.sin(psi * 150 + spiral + 0.8 * sample(grain, x * 0.5, y * 0.5))
    light = sample(cloud, x * 0.5 + 0.3, y * 0.5) * 0.13
    sky = 0.13 + 0.55 * bands**1.3 + light + 0.45 * np.exp(-((sun / 0.16) ** 2))

    horizon = 0.475 + 0.022 * sample(cloud, x * 0.35, np.zeros_like(x)) + 0.02 * np.cos(x * 5)
    slope = y - horizon
    crest = horizon - 0.05 - 0.035 * sample(cloud, x * 0.45, np.full_like(x, 0.5))
    # Furrows: lines of one vanishing point, bent by the lie of the land.
    depth = np.maximum(slope, 0.004)
    furrow = (x - 0.36) / (depth + 0.10) + 0.22 * sample(cloud, x * 0.7, depth * 2)
    field = 0.52 + 0.24 * np.sin(furrow * 14) + 0.16 * sample(grain, x, y) + 0.12 * sample(cloud, x * 0.4, y)
    hill_psi = slope + 0.05 * sample(cloud, x * 0.9, y * 0.9 + 0.2)
    hills = 0.40 + 0.30 * np.sin(hill_psi * 130) + 0.1 * sample(grain, x, y)

    disc = 0.45 + 0.45 * np.cos(sun * 120) + 0.25 * (1 - sun / 0.1)
    kind = np.select([slope > 0, y > crest, sun < 0.085], [1, 3, 2], 0)
    tone = np.select([kind == 1, kind == 3, kind == 2], [field, hills, disc], sky).astype(np.float32)
    potential = np.select([kind == 1, kind == 3], [furrow * 0.3, hill_psi], psi).astype(np.float32)
    return tone, kind.astype(np.int64), _along(potential)


def _stream(x: Array, y: Array) -> tuple[Array, Array]:
    """Stream function of the sky (a drift, whirls, rings about the sun) and the phase that makes whirls spiral."""
    psi = 0.30 * y + 0.012 * np.sin(x * 9 + y * 5)
    phase = np.zeros_like(psi)
    for cx, cy, radius, strength in VORTICES:
        dx, dy = x - cx, (y - cy) * 1.15
        near = np.exp(-((np.hypot(dx, dy) / radius) ** 1.4) / 1.6)
        psi = psi + strength * radius * 0.9 * near
        phase = phase + np.sign(strength) * np.arctan2(dy, dx) * 2 * (near > 0.02)
    sun = np.hypot(x - SUN_AT[0], y - SUN_AT[1])
    return np.asarray(psi - 0.12 * np.exp(-sun / 0.08), np.float32), phase


def _along(potential: Array) -> Array:
    """Unit vectors along the level lines of a potential."""
    dy, dx = np.gradient(potential)
    size = np.hypot(dx, dy) + 1e-9
    return np.stack([dy / size, -dx / size], -1).astype(np.float32)
