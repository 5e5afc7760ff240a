"""The loss of style-transfer-pytorch, in PyTorch.

Its program is crowsonkb/style-transfer-pytorch (MIT licence, copyright Katherine Crowson). This module was written from
the formulas of its version with moments; no code is taken over.

    loss = cw mean (F - P)^2  +  sum_l w_l W_l  +  tw T

    W_l = 1/C (|m1 - m2|^2 + tr(S1 + S2 - 2 (S2^(1/2) S1 S2^(1/2))^(1/2)))

with mean m and covariance S of a tap over its positions, and `EPSILON` added to the diagonal of both covariances. T is
the mean squared difference of neighbours over nine points: 2/3 of that across, 2/3 of that down, and 1/6 of each of
both diagonals, with the border pixels repeated outwards.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from impasto.bench.rivals.matrix_root import square_root

EPSILON = 1e-4


def content_error(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean of (F - P)^2."""
    return (features - target).square().mean()


@dataclass(frozen=True)
class Moments:
    """What is averaged where there are several paintings.

    Attributes:
        mean: [C].
        second: the raw second moment F F^T / M, [C, C].
    """

    mean: torch.Tensor
    second: torch.Tensor

    @property
    def covariance(self) -> torch.Tensor:
        """The covariance, `EPSILON` added to its diagonal."""
        unit = torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        return self.second - torch.outer(self.mean, self.mean) + EPSILON * unit


def moments(features: torch.Tensor) -> Moments:
    """Return the moments of features [1, C, h, w] over their positions."""
    flat = features[0].flatten(1)
    return Moments(flat.mean(1), flat @ flat.T / flat.shape[1])


class GaussianError:
    """W_l as a function of the features, for the moments of the painting."""

    def __init__(self, painting: Moments) -> None:
        """Compute the root of the painting's covariance."""
        self._mean, self._covariance = painting.mean, painting.covariance
        self._root = square_root(self._covariance)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return W_l of features [1, C, h, w]."""
        own = moments(features)
        covariance = own.covariance
        overlap = square_root(self._root @ covariance @ self._root)
        spread = torch.diagonal(self._covariance + covariance - 2 * overlap).mean()
        return (own.mean - self._mean).square().mean() + spread


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Return T of an image [1, 3, H, W]."""
    padded = functional.pad(image, (1, 1, 1, 1), "replicate")
    inside = padded[..., 1:-1, 1:-1]
    across = (padded[..., 1:-1, 2:] - inside).square().mean()
    down = (padded[..., 2:, 1:-1] - inside).square().mean()
    falling = (padded[..., 1:, 1:] - padded[..., :-1, :-1]).square().mean()
    rising = (padded[..., 1:, :-1] - padded[..., :-1, 1:]).square().mean()
    return (across + down) * 2 / 3 + (falling + rising) / 6
