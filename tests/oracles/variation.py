"""The norms of total variation in float64: loops over pixels, colours and neighbours."""

import math

import numpy as np

VISIBLE = 2**-8


def total_variation(image: np.ndarray, norm: str, *, seamless: bool = False) -> float:
    """The sum over [3, H, W], by the definition of each norm; `seamless` joins opposite edges."""
    values = image.astype(np.float64)
    _, height, width = values.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            square = 0.0
            for channel in values:
                for next_y, next_x in ((y + 1, x), (y, x + 1)):
                    if not seamless and (next_y == height or next_x == width):
                        continue
                    d = float(channel[next_y % height, next_x % width] - channel[y, x])
                    if norm == "squared":
                        total += d * d
                    elif norm == "l1":
                        total += math.sqrt(d * d + VISIBLE**2) - VISIBLE
                    square += d * d
            if norm == "l2":
                total += math.sqrt(square + VISIBLE**2) - VISIBLE
    return total
