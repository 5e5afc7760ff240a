"""The paper's equations written naively in float64: loops over what the formulas sum over."""

import numpy as np


def gram(features: np.ndarray) -> np.ndarray:
    """G_ij = sum_k F_ik F_jk (equation 3) of [C, H, W]."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    result = np.zeros((len(flat), len(flat)))
    for i in range(len(flat)):
        for j in range(len(flat)):
            result[i, j] = sum(float(a) * float(b) for a, b in zip(flat[i], flat[j], strict=True))
    return result


def style_term(features: np.ndarray, target_gram: np.ndarray) -> float:
    """E = 1 / (4 N^2 M^2) sum (G - A)^2 (equation 4)."""
    n, m = len(features), features[0].size
    return float(np.sum((gram(features) - target_gram) ** 2) / (4.0 * n**2 * m**2))


def content_term(features: np.ndarray, target: np.ndarray) -> float:
    """1/2 sum (F - P)^2 (equation 1)."""
    return 0.5 * float(np.sum((features.astype(np.float64) - target.astype(np.float64)) ** 2))


def total_variation(image: np.ndarray) -> float:
    """The sum over both directions of squared differences of neighbours, [3, H, W]."""
    total = 0.0
    for channel in image.astype(np.float64):
        for y in range(channel.shape[0]):
            for x in range(channel.shape[1]):
                if y + 1 < channel.shape[0]:
                    total += (channel[y + 1, x] - channel[y, x]) ** 2
                if x + 1 < channel.shape[1]:
                    total += (channel[y, x + 1] - channel[y, x]) ** 2
    return total
