"""Quasi-Newton directions written naively in float64."""

from collections.abc import Callable, Sequence

import numpy as np

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def initial_scale(pairs: Pairs) -> float:
    """gamma = s'y / y'y of the newest pair (Nocedal and Wright 7.20)."""
    s, y = pairs[-1]
    return float(s @ y) / float(y @ y)


def dense_bfgs_direction(pairs: Pairs, gradient: np.ndarray) -> np.ndarray:
    """-H g with the inverse Hessian as a matrix, updated pair by pair from gamma I (Nocedal and Wright 6.17)."""
    size = gradient.size
    h = initial_scale(pairs) * np.eye(size)
    for s, y in pairs:
        rho = 1 / float(s @ y)
        v = np.eye(size) - rho * np.outer(s, y)
        h = v @ h @ v.T + rho * np.outer(s, s)
    return np.asarray(-h @ gradient)


def two_loop_direction(
    pairs: Pairs, gradient: np.ndarray, initial: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """-H g by the two-loop recursion (Nocedal and Wright, algorithm 7.4); from gamma I unless told otherwise."""
    q, alphas = gradient.astype(np.float64), []
    for s, y in reversed(pairs):
        alphas.append(float(s @ q) / float(s @ y))
        q = q - alphas[-1] * y
    r = initial(q) if initial else initial_scale(pairs) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - float(y @ r) / float(s @ y))
    return -r
