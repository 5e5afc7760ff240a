"""Convolutions whose first one continues the image, in NumPy and float64."""

from collections.abc import Mapping

import numpy as np

MODES = {"zero": "constant", "replicate": "edge", "reflect": "reflect"}


def convolved(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, padding: str) -> np.ndarray:
    """The 3 x 3 convolution of [C, H, W], kernel [D, C, 3, 3], by its definition: a sum over shifted images."""
    _, height, width = image.shape
    surrounded = np.pad(image, ((0, 0), (1, 1), (1, 1)), MODES[padding])  # type: ignore[call-overload]
    result = np.zeros((len(kernel), height, width)) + bias.astype(np.float64)[:, None, None]
    for y in range(3):
        for x in range(3):
            shifted = surrounded[:, y : y + height, x : x + width]
            result += np.einsum("dc,chw->dhw", kernel[:, :, y, x].astype(np.float64), shifted)
    return result


def features(
    image: np.ndarray, arrays: Mapping[str, np.ndarray], taps: list[str], padding: str
) -> dict[str, np.ndarray]:
    """The taps of a small network of [3, H, W], one convolution a block: the first padded so, the others with zeros."""
    value, found = image.astype(np.float64), {}
    for index, tap in enumerate(taps):
        if index:
            channels, height, width = value.shape
            halves = value[:, : height // 2 * 2, : width // 2 * 2]
            value = halves.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4))
        kernel, bias = arrays[f"{tap}.weight"], arrays[f"{tap}.bias"]
        value = np.maximum(convolved(value, kernel, bias, "zero" if index else padding), 0)
        found[tap] = value
    return found
