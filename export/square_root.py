"""The square root of a target's covariance matrix, on the host, in float64.

With C2 = V L V^T, the eigenvalues L in the diagonal, the root is B = V L^(1/2): B B^T = C2. `impasto.export.moments`
needs no other property of a root, and B is better for it than the symmetric C2^(1/2) = V L^(1/2) V^T. The rows of
B^T C1 B are then of very different size, from the largest eigenvalue to the smallest, and float32 keeps the digits of
every one of them. With the symmetric root the small ones drown in the rounding of the large ones, and the iteration
diverges (docs/decisions.md).
"""

from collections.abc import Mapping

import numpy as np

FLOOR = 1e-4
"""Variance added to both covariances in every direction in which the painting varies, as a share of its mean variance.

The distance of the Gaussians is then smooth where the image does not vary in such a direction, as it cannot in every
one where a tap has fewer positions than channels. crowsonkb/style-transfer-pytorch adds 1e-4 to taps of about unit
power.
"""
_RESOLUTION = 1e-6  # eigenvalues below this share of the largest are float32's rounding of the covariance


def root(covariance: np.ndarray) -> np.ndarray:
    """Return B, float32 [N, C, C], of covariance matrices [N, C, C].

    B B^T = C2 + e P, where P projects onto the directions in which the painting varies and e = `FLOOR` |B|^2 / C. The
    columns of the other directions are 0.
    """
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    varies = values > _RESOLUTION * values[:, -1:].clip(min=0.0)
    values = np.where(varies, values, 0.0)
    share = FLOOR / (values.shape[1] - FLOOR * varies.sum(1, keepdims=True))
    raised = np.where(varies, values + share * values.sum(1, keepdims=True), 0.0)
    return np.asarray(vectors * np.sqrt(raised)[:, None, :], np.float32)


def with_roots(statistics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return targets in which every ``covariance_TAP`` is replaced by its ``root_TAP``."""
    name = "covariance_"
    return {
        key.replace(name, "root_", 1) if key.startswith(name) else key: root(value) if key.startswith(name) else value
        for key, value in statistics.items()
    }
