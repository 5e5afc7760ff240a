"""The loss of style-transfer-pytorch in float64 with NumPy and SciPy, and its network with loops and SciPy's sums."""

from collections.abc import Callable, Mapping

import numpy as np
import scipy.linalg
import scipy.signal


def features(
    pixels: np.ndarray, arrays: Mapping[str, np.ndarray], widths: Mapping[str, int], *, edge: bool
) -> dict[str, np.ndarray]:
    """The taps, (C, h, w), of the small network on H x W x 3: max pooling; the first padding repeats edges or is 0."""
    value, found, block = pixels.astype(np.float64).transpose(2, 0, 1), {}, "1"
    for number, tap in enumerate(widths):
        if tap[4] != block:
            block = tap[4]
            c, h, w = value.shape
            value = value[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2).max((2, 4))
        widths_px = ((0, 0), (1, 1), (1, 1))
        padded = np.pad(value, widths_px, mode="edge") if edge and number == 0 else np.pad(value, widths_px)
        kernels, biases = arrays[f"{tap}.weight"].astype(np.float64), arrays[f"{tap}.bias"]
        sums = [
            sum(scipy.signal.correlate2d(plane, part, "valid") for plane, part in zip(padded, kernel, strict=True))
            + bias
            for kernel, bias in zip(kernels, biases, strict=True)
        ]
        value = np.maximum(np.stack(sums), 0)
        found[tap] = value
    return found


def exact_root(matrix: np.ndarray) -> np.ndarray:
    """The square root by SciPy."""
    return np.asarray(np.real(scipy.linalg.sqrtm(matrix)))


def root_after(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """What Newton and Schulz's iteration has after so many steps: it acts on each eigenvalue alone, as on a number."""

    def root(matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        norm = np.sqrt(np.sum(values**2))
        y, z = values / norm, np.ones_like(values)
        for _ in range(steps):
            y, z = y * (3 - y * z) / 2, z * (3 - y * z) / 2
        return np.asarray(vectors * (y * np.sqrt(norm)) @ vectors.T)

    return root


def gaussian_error(
    own: np.ndarray, painting: np.ndarray, epsilon: float, root: Callable[[np.ndarray], np.ndarray]
) -> float:
    """1/C of the squared Wasserstein-2 distance of two Gaussians with the moments of (C, h, w) features."""
    (m1, c1), (m2, c2) = (_moments(values, epsilon) for values in (own, painting))
    inner = root(root(c2) @ c1 @ root(c2))
    return float((np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * inner)) / len(own))


def total_variation(pixels: np.ndarray) -> float:
    """The nine-point smoothness of H x W x 3, pixel by pixel."""
    height, width, _ = pixels.shape

    def at(y: int, x: int) -> np.ndarray:
        return np.asarray(pixels[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], np.float64)

    straight = [
        np.sum((at(y, x + 1) - at(y, x)) ** 2) + np.sum((at(y + 1, x) - at(y, x)) ** 2)
        for y in range(height)
        for x in range(width)
    ]
    diagonal = [
        np.sum((at(y + 1, x + 1) - at(y, x)) ** 2) + np.sum((at(y + 1, x) - at(y, x + 1)) ** 2)
        for y in range(-1, height)
        for x in range(-1, width)
    ]
    return float(2 * sum(straight) / (3 * 3 * height * width) + sum(diagonal) / (6 * 3 * (height + 1) * (width + 1)))


def _moments(values: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    return flat.mean(1), np.cov(flat, bias=True) + epsilon * np.eye(len(values))
