"""A pinhole camera and its film: rays in, exposure, curve and grain out."""

import numpy as np
import numpy.typing as npt

from studio.noise import Array, cell_random, to_bytes

SAMPLES = ((0.125, 0.375), (0.375, 0.875), (0.875, 0.625), (0.625, 0.125))
"""Places in a pixel that are looked at: a rotated grid."""


def rays(ahead: Array, half_width: float, horizon: float, width: int, height: int, place: tuple[float, float]) -> Array:
    """Unit directions through every pixel, row by row.

    Args:
        ahead: Where the camera looks, a unit vector; the picture stays upright.
        half_width: Tangent of half the horizontal field of view.
        horizon: Where ``ahead`` meets the picture, from its top, as a share of its height.
        width: Picture width in pixels.
        height: Picture height in pixels.
        place: Where in each pixel, from its upper left corner, 0..1.
    """
    right = np.cross([0, 1, 0], ahead)
    right /= np.linalg.norm(right)
    x = ((np.arange(width) + place[0]) / width * 2 - 1) * half_width
    y = (horizon - (np.arange(height) + place[1]) / height) * 2 * half_width * height / width
    lines = ahead + x[None, :, None] * right + y[:, None, None] * np.cross(ahead, right)
    return np.asarray((lines / np.linalg.norm(lines, axis=2)[..., None]).reshape(-1, 3), np.float32)


def expose(light: Array, exposure: float) -> Array:
    """Linear light to display light, 0..1, by a film curve (Narkowicz's fit of ACES, 2015)."""
    x = light * np.float32(exposure)
    return np.asarray(np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1), np.float32)


def develop(image: Array, saturation: float) -> npt.NDArray[np.uint8]:
    """Gamma, saturation, a slight vignette and fine grain; height x width x 3, display light to bytes."""
    height, width, _ = image.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    corner = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)[..., None]
    grain = cell_random(x, y, 1) + cell_random(x, y, 2) + cell_random(x, y, 3) - 1.5
    image = image ** (1 / 2.2)
    grey = (image @ np.asarray([0.3, 0.6, 0.1], np.float32))[..., None]
    return to_bytes((grey + saturation * (image - grey)) * (1.03 - 0.3 * corner) + 0.015 * grain[..., None])
