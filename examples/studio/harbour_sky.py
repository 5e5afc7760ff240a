"""The sky over the harbour: a warm evening gradient, fractal clouds, and ranges of hills fading in the haze."""

import numpy as np

from studio.noise import Array, Tile, sample, smoothstep

SUN = np.asarray([0.86, 0.45, -0.05], np.float32) / np.float32(np.sqrt(0.86**2 + 0.45**2 + 0.05**2))
SUN_LIGHT = np.asarray([3.3, 2.65, 1.85], np.float32)
HAZE = np.asarray([0.70, 0.74, 0.80], np.float32)
ZENITH = np.asarray([0.075, 0.19, 0.47], np.float32)

BILLOWS = Tile(61, 512, 1.55, 2, 180)
DRIFT = Tile(62, 512, 2.0, 2, 12)
CRESTS = Tile(63, 512, 1.5, 2, 200)
WOODS = Tile(64, 512, 0.8, 12, 200)

OVERHEAD = (0.32, 0.35)
"""Which part of the cloud tile hangs over the viewer."""

HILLS = (
    # Height of the range and its relief (tangent of elevation), scale, haze, lit colour.
    (0.125, 0.026, 0.30, 0.60, (0.16, 0.19, 0.14)),
    (0.080, 0.020, 0.45, 0.38, (0.14, 0.17, 0.08)),
    (0.040, 0.011, 0.80, 0.16, (0.12, 0.15, 0.045)),
)


def sky(direction: Array, detail: bool = True) -> Array:
    """Linear colour of the sky in the given directions (N x 3), with clouds and hills if ``detail``."""
    dx, dy, dz = direction.T
    up = np.clip(dy, 0, 1)
    glow = np.clip(direction @ SUN, 0, 1)
    thin = np.exp(-up * 5.0)
    warm = np.asarray([0.30, 0.16, 0.04], np.float32) * (glow[:, None] ** 3)
    colour = ZENITH * (1 - thin[:, None]) + HAZE * thin[:, None] + warm * (0.25 + thin[:, None])
    if detail:
        colour = _clouds(colour, dx, up, dz)
        colour = _hills(colour, dx, dy, dz)
    return np.asarray(colour, np.float32)


def _clouds(colour: Array, dx: Array, up: Array, dz: Array) -> Array:
    """Fair-weather clouds on a level layer, bright towards the sun and grey below."""
    flat = 1 / (up + 0.09)
    x, z = dx * flat * 0.16 + OVERHEAD[0], dz * flat * 0.16 + OVERHEAD[1]
    x = x + 0.010 * sample(BILLOWS, x * 3, z * 3)

    def density(px: Array, pz: Array) -> Array:
        return np.asarray(
            sample(BILLOWS, px, pz) * 0.75
            + 0.65 * sample(DRIFT, px * 0.7, pz * 0.7)
            + 0.10 * sample(BILLOWS, px * 5, pz * 5)
        )

    here = density(x, z)
    cover = smoothstep(-0.15, 1.15, here)
    lit = np.clip(0.5 + 0.55 * (here - density(x + 0.012, z - 0.004)) - 0.18 * np.clip(here - 0.8, 0, 2), 0, 1)
    shade, light = np.asarray([0.46, 0.50, 0.60], np.float32), np.asarray([1.75, 1.52, 1.26], np.float32)
    white = shade * (1 - lit[:, None]) + light * lit[:, None]
    cover = (cover * (1 - 0.55 * np.exp(-up * 9)))[:, None]
    return np.asarray(colour * (1 - cover) + white * cover, np.float32)


def _hills(colour: Array, dx: Array, dy: Array, dz: Array) -> Array:
    """Wooded ranges one before the other; nearer ones are lower, greener and rougher."""
    azimuth = np.arctan2(dx, dz)
    height = dy / np.hypot(dx, dz)
    for level, relief, scale, haze, green in HILLS:
        a = azimuth * scale + level * 7
        crest = level + relief * sample(CRESTS, a, np.full_like(a, 0.3)) + 0.09 * level * (azimuth - 0.2)
        crest = crest + 0.0035 * (1 - haze) * sample(WOODS, a * 1.5, np.full_like(a, 0.6))
        rise = sample(CRESTS, a + 0.02, 0.3 + height * 0.6) - sample(CRESTS, a - 0.02, 0.3 + height * 0.6)
        canopy = sample(WOODS, a * 1.2, height * 5)
        light = np.clip(0.75 - 0.32 * rise + 0.30 * canopy * (1 - haze), 0.15, 1.6)
        wood = np.asarray(green, np.float32) * light[:, None]
        mist = haze + 0.25 * np.exp(-np.clip(height, 0, 1) * 45)
        wood = wood * (1 - mist[:, None]) + HAZE * 0.86 * mist[:, None]
        colour = np.where((height < crest)[:, None], wood, colour)
    return colour
