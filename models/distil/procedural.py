"""Pictures made from nothing but a random generator: the part of the training data that anyone has.

Every function takes a numpy generator and a size and returns a float32 array (size, size, 3), RGB, 0..1. The
families are those of which photographs and paintings are made: occluding shapes (dead leaves, Lee, Mumford and
Huang 2001), brush strokes that follow a flow, power-law spectra, smooth shading, gratings, fractals, lettering.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Generator = np.random.Generator


def palette(rng: Generator, count: int) -> Image:
    """Return colours (count, 3) that look as if they belonged together: a few hues, spread in lightness."""
    centre = rng.uniform(0.15, 0.85, 3)
    spread = rng.uniform(0.05, 0.45)
    lightness = rng.normal(0, 0.2, (count, 1))
    return np.clip(centre + spread * rng.normal(0, 1, (count, 3)) + lightness, 0, 1).astype(np.float32)


def power_law(rng: Generator, size: int, exponent: float | None = None) -> Image:
    """Return coloured noise whose amplitude falls as frequency^-exponent (0 white, 1 natural images, 2 clouds)."""
    exponent = float(rng.uniform(0, 2.2)) if exponent is None else exponent
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    radius = np.hypot(fx, fy * rng.uniform(0.5, 2))
    radius[0, 0] = 1 / size
    planes = np.fft.irfft2(
        np.fft.rfft2(rng.normal(size=(3, size, size)), axes=(1, 2)) / radius**exponent, s=(size, size), axes=(1, 2)
    )
    planes -= planes.mean((1, 2), keepdims=True)
    planes /= planes.std((1, 2), keepdims=True)
    mixed = np.einsum("cd,dyx->yxc", rng.normal(0, 1, (3, 3)) + np.ones((3, 1)) * rng.uniform(0, 2), planes)
    return _ranged(rng, mixed)


def gratings(rng: Generator, size: int) -> Image:
    """Return a few sinusoids bent by smooth noise, mapped to a palette."""
    y, x = np.mgrid[:size, :size] / size
    bend = power_law(rng, size, 2.0)
    total = np.zeros((size, size))
    for _ in range(rng.integers(1, 4)):
        angle, cycles = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(2), np.log(size / 4)))
        phase = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 0.4) * bend[:, :, rng.integers(3)]
        wave = np.sin(2 * np.pi * cycles * phase)
        total += np.sign(wave) if rng.random() < 0.3 else wave
    return _coloured(rng, total)


def shading(rng: Generator, size: int) -> Image:
    """Return smooth colour gradients, some with a hard edge."""
    colours = palette(rng, 4).reshape(2, 2, 3)
    y, x = np.mgrid[:size, :size] / (size - 1)
    x, y = (x ** rng.uniform(0.5, 2))[..., None], (y ** rng.uniform(0.5, 2))[..., None]
    image = (colours[0, 0] * (1 - x) + colours[0, 1] * x) * (1 - y) + (colours[1, 0] * (1 - x) + colours[1, 1] * x) * y
    if rng.random() < 0.5:
        image = np.where(x * rng.normal() + y * rng.normal() > rng.normal(0, 0.3), image, image[::-1, ::-1])
    grain = rng.normal(0, rng.uniform(0, 0.03), image.shape)
    shaded: Image = np.clip(image + grain, 0, 1).astype(np.float32)
    return shaded


def dead_leaves(rng: Generator, size: int) -> Image:
    """Return occluding ellipses and boxes with power-law sizes; some are textured."""
    image = shading(rng, size)
    colours = palette(rng, 24)
    texture = power_law(rng, size) - 0.5
    y, x = np.mgrid[:size, :size].astype(np.float32)
    smallest = rng.uniform(2, 6)
    for _ in range(rng.integers(60, 250)):
        radius = smallest / (rng.random() + (smallest / (0.4 * size)) ** 1.5) ** (1 / 1.5)
        cy, cx = rng.uniform(0, size, 2)
        top, left = max(int(cy - 1.5 * radius), 0), max(int(cx - 1.5 * radius), 0)
        window = np.s_[top : int(cy + 1.5 * radius) + 2, left : int(cx + 1.5 * radius) + 2]
        angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        dx, dy = x[window] - cx, y[window] - cy
        u = np.abs(dx * np.cos(angle) + dy * np.sin(angle)) / radius
        v = np.abs(dy * np.cos(angle) - dx * np.sin(angle)) / (radius * aspect)
        distance = np.hypot(u, v) if rng.random() < 0.6 else np.maximum(u, v)
        cover = np.clip((1 - distance) * radius + 0.5, 0, 1)[..., None]
        leaf = colours[rng.integers(24)] + rng.choice([0, 0, 0.5, 1]) * texture[window]
        image[window] = image[window] * (1 - cover) + leaf * cover
    leaves: Image = np.clip(image, 0, 1).astype(np.float32)
    return leaves


def strokes(rng: Generator, size: int, ground: Image | None = None) -> Image:
    """Return brush strokes that follow a smooth flow, coloured from `ground` or from another family."""
    if ground is None:
        ground = FAMILIES["dead_leaves" if rng.random() < 0.5 else "power_law"](rng, size)
    field = power_law(rng, size, 2.0)[:, :, 0] * rng.uniform(1, 3) * np.pi + rng.uniform(0, np.pi)
    image = ground.mean((0, 1)) * np.ones_like(ground)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    width, length = rng.uniform(1.2, 6), rng.uniform(2, 6)
    for _ in range(int(1.6 * size * size / (width * width * length))):
        cy, cx = rng.uniform(0, size, 2)
        angle = field[int(cy), int(cx)] + rng.normal(0, 0.15)
        reach = int(width * length) + 2
        window = np.s_[max(int(cy) - reach, 0) : int(cy) + reach, max(int(cx) - reach, 0) : int(cx) + reach]
        dx, dy = x[window] - cx, y[window] - cy
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        distance = np.hypot(np.maximum(np.abs(along) - width * length / 2, 0), across)
        cover = np.clip(width / 2 - distance + 0.5, 0, 1)[..., None]
        bristles = 0.06 * np.sin(across * rng.uniform(1, 3) + rng.uniform(0, 6))[..., None]
        colour = ground[int(cy), int(cx)] + rng.normal(0, 0.05, 3) + bristles
        image[window] = image[window] * (1 - cover) + colour * cover
    result: Image = np.clip(image, 0, 1).astype(np.float32)
    return result


def fractal(rng: Generator, size: int) -> Image:
    """Return the smoothed escape times of a Julia set z^2 + c."""
    angle = rng.uniform(0, 2 * np.pi)
    c = (np.exp(1j * angle) / 2 - np.exp(2j * angle) / 4) * rng.uniform(1, 1.1)
    zoom = rng.uniform(0.4, 1.5)
    y, x = np.mgrid[-zoom : zoom : size * 1j, -zoom : zoom : size * 1j]
    z, escape = x + 1j * y + rng.normal(0, 0.2), np.zeros((size, size))
    for _ in range(48):
        inside = np.abs(z) < 4
        z = np.where(inside, z * z + c, z)
        escape += inside
    return _coloured(rng, np.log1p(escape) * rng.uniform(1, 6))


def lettering(rng: Generator, size: int) -> Image:
    """Return lines of glyph-like marks, each of a few strokes out of a small alphabet."""
    height = int(rng.integers(8, 40))
    alphabet = [_glyph(rng, height) for _ in range(12)]
    ink = np.zeros((size, size), np.float32)
    for top in range(0, size - height, int(height * 1.4)):
        left = int(rng.integers(0, height))
        while left + height < size:
            if rng.random() < 0.85:
                ink[top : top + height, left : left + height] = alphabet[rng.integers(12)]
            left += int(height * rng.uniform(0.8, 1.1))
    paper, pen = shading(rng, size), palette(rng, 1)
    return np.clip(paper * (1 - ink[..., None]) + pen * ink[..., None], 0, 1).astype(np.float32)


def _glyph(rng: Generator, height: int) -> Image:
    y, x = np.mgrid[:height, :height] / height
    ink = np.zeros((height, height))
    for _ in range(rng.integers(2, 5)):
        (ay, ax), (by, bx) = rng.choice([0.15, 0.5, 0.85], (2, 2))
        span = max((by - ay) ** 2 + (bx - ax) ** 2, 1e-6)
        t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / span, 0, 1)
        distance = np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay))
        ink = np.maximum(ink, np.clip((0.08 - distance) * height + 0.5, 0, 1))
    return ink.astype(np.float32)


def _coloured(rng: Generator, values: NDArray[np.float64]) -> Image:
    """Map a scalar field to a palette, by linear interpolation in rank-free units."""
    colours = palette(rng, 6)
    low, high = values.min(), values.max()
    position = (values - low) / max(high - low, 1e-9) * 5
    return np.stack([np.interp(position, np.arange(6), colours[:, c]) for c in range(3)], -1).astype(np.float32)


def _ranged(rng: Generator, values: NDArray[np.float64]) -> Image:
    """Shift and scale to a random mean and contrast, clipped to 0..1."""
    values = values / max(float(values.std()), 1e-9)
    return np.clip(rng.uniform(0.25, 0.75, 3) + rng.uniform(0.05, 0.3) * values, 0, 1).astype(np.float32)


FAMILIES: dict[str, Callable[[Generator, int], Image]] = {
    "power_law": power_law,
    "gratings": gratings,
    "shading": shading,
    "dead_leaves": dead_leaves,
    "strokes": strokes,
    "fractal": fractal,
    "lettering": lettering,
}
