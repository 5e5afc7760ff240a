"""The losses of neural-style and neural-style-pt in float64 NumPy, to check conversions with.

The programs are jcjohnson/neural-style (Lua) and ProGamerGov/neural-style-pt (Python), both under the MIT licence. This
module was written from their formulas; no code is taken over. Both have

    loss = cw 1/(N M) sum (F - P)^2  +  sw sum_l 1/N^2 sum (G / (N M) - A)^2  +  smoothness,  G = F F^T,

with N channels and M positions of a tap, and A the paintings' G / (N M') averaged by their blend weights. They differ
in smoothness, where d is the difference of neighbouring pixels:

    neural-style      tw 1/2 sum d^2, without the pairs along the last row and the last column
    neural-style-pt   tw sum |d|

Images are those of a file times 256, less a mean colour. So white is 256 and not 255, to the network too.
"""

from collections.abc import Sequence

import numpy as np

WHITE = 256.0


def content_loss(features: np.ndarray, target: np.ndarray, content_weight: float) -> float:
    """Return the content loss of one tap, [C, h, w] both."""
    difference = features.astype(np.float64) - target.astype(np.float64)
    return float(content_weight * np.mean(difference**2))


def gram(features: np.ndarray) -> np.ndarray:
    """Return G / (N M) of [C, h, w], as [C, C]."""
    flat = features.astype(np.float64).reshape(len(features), -1)
    return np.asarray(flat @ flat.T / flat.size)


def style_target(paintings: Sequence[np.ndarray], blend_weights: Sequence[float] | None = None) -> np.ndarray:
    """Return A of the paintings' features at one tap, each [C, h, w]; by default all weigh the same."""
    weights = np.ones(len(paintings)) if blend_weights is None else np.asarray(blend_weights, np.float64)
    shares = weights / weights.sum()
    return np.asarray(sum(share * gram(features) for share, features in zip(shares, paintings, strict=True)))


def style_loss(features: np.ndarray, target: np.ndarray, style_weight: float) -> float:
    """Return the style loss of one tap: features [C, h, w], target from `style_target`."""
    return float(style_weight * np.mean((gram(features) - target) ** 2))


def squared_smoothness(pixels: np.ndarray, tv_weight: float) -> float:
    """Return the smoothness whose gradient neural-style adds, of H x W x 3 pixels in 0..1.

    The program computes the gradient alone, and does not report this loss.
    """
    image = WHITE * pixels.astype(np.float64)
    across = image[:-1, 1:] - image[:-1, :-1]
    down = image[1:, :-1] - image[:-1, :-1]
    return float(tv_weight * 0.5 * (np.sum(across**2) + np.sum(down**2)))


def absolute_smoothness(pixels: np.ndarray, tv_weight: float) -> float:
    """Return the smoothness of neural-style-pt, of H x W x 3 pixels in 0..1."""
    image = WHITE * pixels.astype(np.float64)
    return float(tv_weight * (np.abs(np.diff(image, axis=0)).sum() + np.abs(np.diff(image, axis=1)).sum()))
