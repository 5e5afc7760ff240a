"""The distance of the `moments` style loss in float64: the value with SciPy's sqrtm, and one with PyTorch's SVD."""

import numpy as np
import scipy.linalg
import torch


def mean_and_covariance(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return m, (C,), and (F - m)(F - m)^T / M of [C, H, W]."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    mean = flat.mean(1)
    return mean, (flat - mean[:, None]) @ (flat - mean[:, None]).T / flat.shape[1]


def raised(covariance: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return D, C2 + e in D, and e: the R directions of variance, and e = floor * mean variance after raising."""
    values, vectors = np.linalg.eigh(covariance)
    directions = vectors[:, values > 1e-6 * values[-1]]
    within = directions.T @ covariance @ directions
    e = floor * float(np.trace(within)) / (len(covariance) - floor * len(within))
    return directions, within + e * np.eye(len(within)), e


def distance(features: np.ndarray, painting: np.ndarray, floor: float) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C2^1/2 C1 C2^1/2)^1/2), both raised in D, C1 by a quarter of its own at least."""
    (m1, c1), (m2, c2) = mean_and_covariance(features), mean_and_covariance(painting)
    directions, c2, e = raised(c2, floor)
    e = max(e, floor * np.trace(c1) / len(c1) / 4)
    root = np.real(scipy.linalg.sqrtm(c2))
    inner = np.real(scipy.linalg.sqrtm(root @ (directions.T @ c1 @ directions + e * np.eye(len(c2))) @ root))
    traces = np.trace(c1) + e * len(c2) + np.trace(c2) - 2 * np.trace(inner)
    return float(np.sum((m1 - m2) ** 2) + traces)


def distance_of(features: torch.Tensor, painting: np.ndarray, floor: float) -> torch.Tensor:
    """The same of float64 features [C, H, W], differentiable: tr (B^T C1 B)^1/2 is the nuclear norm of B^T C1^1/2."""
    mean, covariance = mean_and_covariance(painting)
    directions, total, least = raised(covariance, floor)
    within, root = torch.tensor(directions), torch.tensor(np.linalg.cholesky(total))
    flat = features.flatten(1)
    own_mean = flat.mean(1, keepdim=True)
    spread = (flat - own_mean) / flat.shape[1] ** 0.5
    e = torch.clamp(floor * spread.square().sum() / len(spread) / 4, min=least)
    factor = torch.cat([within.T @ spread, e.sqrt() * torch.eye(len(total), dtype=torch.float64)], 1)
    means = (own_mean[:, 0] - torch.tensor(mean)).square().sum()
    overlap = torch.linalg.svdvals(root.T @ factor).sum()
    result: torch.Tensor = means + spread.square().sum() + e * len(total) + float(np.trace(total)) - 2 * overlap
    return result
