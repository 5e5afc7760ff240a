"""Procedural randomness: periodic fractal tiles, cell hashes and the small ramps that every picture uses.

Everything is a pure function of its arguments: the same seed gives the same values.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tile:
    """A periodic fractal texture, side x side, zero mean and unit deviation; made when first used.

    White noise is shaped in the Fourier domain to amplitude f^-slope between ``lowest`` and
    ``highest`` cycles per tile (slope 1 is rough, 2 is smooth).
    """

    seed: int
    side: int = 512
    slope: float = 1.6
    lowest: float = 2
    highest: float = 1e9

    @functools.cached_property
    def values(self) -> Array:
        """The texture itself."""
        white = np.random.default_rng(self.seed).standard_normal((self.side, self.side))
        cycles = np.fft.fftfreq(self.side, 1 / self.side)
        frequency = np.hypot(cycles[None, :], cycles[:, None])
        passed = (frequency >= self.lowest) & (frequency <= self.highest)
        shape = np.where(passed, np.maximum(frequency, 1) ** -self.slope, 0)
        texture = np.fft.ifft2(np.fft.fft2(white) * shape).real
        return np.asarray((texture - texture.mean()) / texture.std(), np.float32)


def sample(tile: Tile, x: Array, y: Array) -> Array:
    """Look up a tile bilinearly at (x, y), both in tile lengths, wrapping at the borders."""
    side, flat = tile.side, tile.values.ravel()
    px, py = np.asarray(x, np.float64) * side, np.asarray(y, np.float64) * side
    ix, iy = np.floor(px).astype(np.int64), np.floor(py).astype(np.int64)
    tx, ty = (px - ix).astype(np.float32), (py - iy).astype(np.float32)
    left, right, top, bottom = ix % side, (ix + 1) % side, iy % side * side, (iy + 1) % side * side
    upper = flat[top + left] * (1 - tx) + flat[top + right] * tx
    lower = flat[bottom + left] * (1 - tx) + flat[bottom + right] * tx
    return np.asarray(upper * (1 - ty) + lower * ty, np.float32)


def cell_random(ix: npt.NDArray[np.generic], iy: npt.NDArray[np.generic] | int, seed: int) -> Array:
    """Hash integer cells to [0, 1): one fixed random number per cell and seed (at least 1-D)."""
    a = np.atleast_1d(ix).astype(np.int64).astype(np.uint32)
    b = np.atleast_1d(iy).astype(np.int64).astype(np.uint32)
    c = np.asarray([(seed * 0xC2B2AE3D) & 0xFFFFFFFF], np.uint32)
    h = a * np.uint32(0x9E3779B1) + b * np.uint32(0x85EBCA77) + c
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return np.asarray((h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24))


def smoothstep(low: float, high: float, x: Array) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high`` (falls if ``low`` > ``high``)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ramp(colours: Sequence[Sequence[float]], t: Array) -> Array:
    """Interpolate evenly spaced colours at t in 0..1; the result gains a last axis of 3."""
    table = np.asarray(colours, np.float32)
    position = np.clip(t, 0, 1) * (len(table) - 1)
    low = np.minimum(position.astype(np.int64), len(table) - 2)
    part = (position - low)[..., None]
    return np.asarray(table[low] * (1 - part) + table[low + 1] * part, np.float32)


def hexes(*codes: str) -> list[tuple[float, ...]]:
    """Turn 'rrggbb' codes into colours in 0..1."""
    return [tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)) for code in codes]


def grid(width: int, height: int) -> tuple[Array, Array]:
    """Return pixel centre coordinates, x and y, height x width each; x spans 0..1, y has the same unit."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    y = (np.arange(height, dtype=np.float32) + 0.5) / width
    return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))


def shrink(image: Array, factor: int) -> Array:
    """Average factor x factor blocks: the antialiasing of everything drawn too large."""
    h, w, c = image.shape
    return np.asarray(image.reshape(h // factor, factor, w // factor, factor, c).mean((1, 3)))


def to_bytes(image: Array) -> npt.NDArray[np.uint8]:
    """Round an image in 0..1 to 8 bits."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
