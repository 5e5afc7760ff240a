"""The pictures that benchmarks run on: the user's, or drawn ones that are the same everywhere."""

from pathlib import Path

import numpy as np

from impasto.engine.images import read_image, resize

DRAWN = "drawn"
_SEED = 1508_06576
_GRAIN = 0.04
_OCTAVES_PX = (128, 32, 8)


def square(source: Path, side_px: int) -> np.ndarray:
    """Return an image at side x side px, uint8 H x W x 3, whatever its proportions were."""
    return _as_bytes(read_image(source).resized(side_px, side_px).pixels)


def drawn_content(side_px: int) -> np.ndarray:
    """Return shapes before a sky that gets lighter downwards, with a photograph's grain, uint8 H x W x 3.

    Without the grain `torch.optim.LBFGS` would need some twenty evaluations to leave the start, and look worse in a
    comparison than on a photograph.
    """
    y, x = np.mgrid[:side_px, :side_px].astype(np.float32) / side_px
    pixels = np.stack((0.3 + 0.5 * y, 0.5 + 0.3 * y, 0.9 - 0.3 * y), axis=-1)
    pixels[y > 0.7] = (0.25, 0.4, 0.3)
    pixels[(np.abs(x - 0.35) < 0.15) & (y > 0.4) & (y < 0.8)] = (0.7, 0.35, 0.25)
    pixels[(x - 0.75) ** 2 + (y - 0.25) ** 2 < 0.01] = (1.0, 0.95, 0.7)
    grain = np.random.default_rng(_SEED).standard_normal(pixels.shape, np.float32)
    return _as_bytes(pixels + np.float32(_GRAIN) * grain)


def drawn_style(side_px: int) -> np.ndarray:
    """Return coloured noise of three grain sizes, uint8 H x W x 3."""
    rng = np.random.default_rng(_SEED)
    pixels = np.zeros((side_px, side_px, 3), np.float32)
    for grain_px in _OCTAVES_PX:
        cells = max(2, side_px // grain_px)
        pixels += resize(rng.random((cells, cells, 3), np.float32), side_px, side_px) / len(_OCTAVES_PX)
    return _as_bytes(pixels)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(pixels.clip(0, 1) * np.float32(255)), np.uint8)
