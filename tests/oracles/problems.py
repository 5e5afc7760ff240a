"""Objectives over flat float32 vectors with known minima, computed in float64."""

import numpy as np

from impasto.engine.optimisers.outcome import Evaluate, Vector


def quadratic(eigenvalues: np.ndarray, seed: int = 0) -> tuple[Evaluate, Vector]:
    """1/2 (x - c)' A (x - c), A of these eigenvalues in random directions, and its minimum c."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(eigenvalues.size, eigenvalues.size)))
    a = basis @ np.diag(eigenvalues) @ basis.T
    centre = rng.random(eigenvalues.size)

    def evaluate(x: Vector) -> tuple[float, Vector]:
        offset = x.astype(np.float64) - centre
        gradient = a @ offset
        return 0.5 * float(offset @ gradient), gradient.astype(np.float32)

    return evaluate, centre.astype(np.float32)


def rosenbrock(x: Vector) -> tuple[float, Vector]:
    """The chained Rosenbrock function: minimum 0 at (1, ..., 1), along a curved valley."""
    x64 = x.astype(np.float64)
    head, tail = x64[:-1], x64[1:]
    valley = tail - head**2
    gradient = np.zeros_like(x64)
    gradient[:-1] = -400 * head * valley - 2 * (1 - head)
    gradient[1:] += 200 * valley
    return float(np.sum(100 * valley**2 + (1 - head) ** 2)), gradient.astype(np.float32)


def gram_matching(size: int = 240, seed: int = 0) -> tuple[Evaluate, Vector]:
    """A small relative of style transfer, not convex and of fourth order, and a start.

    X, 3 x size/3, passes through a random linear map and softplus to features F; the loss compares F F' with that of
    another X, plus a little of F with that of a third.
    """
    rng = np.random.default_rng(seed)
    pixels = size // 3
    mixing = rng.normal(size=(8, 3)) * 2
    blur = np.eye(pixels) + 0.5 * np.eye(pixels, k=1) + 0.5 * np.eye(pixels, k=-1)

    def features(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = mixing @ (x.reshape(3, pixels) @ blur)
        return np.logaddexp(0, z), 1 / (1 + np.exp(-z))

    gram = (lambda f: f @ f.T)(features(rng.random(size))[0])
    content = features(rng.random(size))[0]

    def evaluate(x: Vector) -> tuple[float, Vector]:
        f, slope = features(x.astype(np.float64))
        style_error, content_error = f @ f.T - gram, f - content
        loss = float(np.sum(style_error**2)) / pixels + float(np.sum(content_error**2))
        d_f = 4 * style_error @ f / pixels + 2 * content_error
        gradient = mixing.T @ (d_f * slope) @ blur.T
        return loss, gradient.ravel().astype(np.float32)

    return evaluate, rng.random(size).astype(np.float32)
