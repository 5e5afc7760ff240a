"""The compact direction against the dense matrix, the two-loop recursion, and its own guards."""

import numpy as np
import pytest

from impasto.engine.curvature import CurvatureHistory
from tests.oracles.bfgs import dense_bfgs_direction, two_loop_direction

Pair = tuple[np.ndarray, np.ndarray]


def positive_pairs(count: int, size: int, seed: int = 0) -> list[Pair]:
    """Pairs of a random positive definite Hessian with eigenvalues over three decades."""
    rng = np.random.default_rng(seed)
    diagonal = 10 ** rng.uniform(-2, 1, size)
    steps = rng.normal(size=(count, size)).astype(np.float32)
    return [(s, (diagonal * s).astype(np.float32)) for s in steps]


def direction(history: CurvatureHistory, gradient: np.ndarray) -> np.ndarray:
    out = np.empty_like(gradient)
    history.direction(gradient, out=out)
    return out


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_direction_is_that_of_the_dense_matrix(count: int) -> None:
    pairs = positive_pairs(count, size=40)
    history = CurvatureHistory(10, 40)
    for s, y in pairs:
        assert history.push(s, y, least_cosine=0.0)
    gradient = np.random.default_rng(1).normal(size=40).astype(np.float32)
    exact = [(s.astype(np.float64), y.astype(np.float64)) for s, y in pairs]
    assert relative_error(direction(history, gradient), dense_bfgs_direction(exact, gradient)) < 1e-5


@pytest.mark.parametrize("capacity", [1, 3, 10])
def test_old_pairs_are_forgotten_in_order(capacity: int) -> None:
    pairs = positive_pairs(3 * capacity + 2, size=60)
    history = CurvatureHistory(capacity, 60)
    gradient = np.random.default_rng(2).normal(size=60).astype(np.float32)
    kept: list[Pair] = []
    for s, y in pairs:
        history.push(s, y, least_cosine=0.0)
        kept = [*kept, (s.astype(np.float64), y.astype(np.float64))][-capacity:]
        assert len(history) == len(kept)
        assert relative_error(direction(history, gradient), two_loop_direction(kept, gradient)) < 1e-5


def test_direction_of_a_long_vector_keeps_its_digits() -> None:
    size = 300_001
    pairs = positive_pairs(10, size)
    history = CurvatureHistory(10, size)
    for s, y in pairs:
        history.push(s, y, least_cosine=0.0)
    gradient = np.random.default_rng(3).normal(size=size).astype(np.float32)
    exact = [(s.astype(np.float64), y.astype(np.float64)) for s, y in pairs]
    assert relative_error(direction(history, gradient), two_loop_direction(exact, gradient)) < 1e-5


def test_clearing_starts_afresh() -> None:
    first, second = positive_pairs(4, 30, seed=0), positive_pairs(2, 30, seed=9)
    used, fresh = CurvatureHistory(3, 30), CurvatureHistory(3, 30)
    for s, y in first:
        used.push(s, y, least_cosine=0.0)
    used.clear()
    assert len(used) == 0
    for s, y in second:
        used.push(s, y, least_cosine=0.0)
        fresh.push(s, y, least_cosine=0.0)
    gradient = np.ones(30, np.float32)
    np.testing.assert_array_equal(direction(used, gradient), direction(fresh, gradient))


@pytest.mark.parametrize(
    ("s", "y"),
    [
        pytest.param([1, 0, 0], [-1, 0, 0], id="negative curvature"),
        pytest.param([1, 0, 0], [0, 1, 0], id="no curvature"),
        pytest.param([1, 0, 0], [1e-4, 1, 0], id="curvature lost in rounding"),
        pytest.param([0, 0, 0], [1, 0, 0], id="no step"),
        pytest.param([1, 0, 0], [0, 0, 0], id="no change of gradient"),
        pytest.param([1, 0, 0], [np.nan, 0, 0], id="not a number"),
        pytest.param([1, 0, 0], [np.inf, 0, 0], id="infinite"),
    ],
)
def test_a_pair_without_curvature_changes_nothing(s: list[float], y: list[float]) -> None:
    history = CurvatureHistory(2, 3)
    for pair in positive_pairs(3, 3):
        history.push(*pair, least_cosine=0.0)
    gradient = np.array([1, 2, 3], np.float32)
    before = direction(history, gradient)
    assert not history.push(np.array(s, np.float32), np.array(y, np.float32), least_cosine=1e-3)
    assert len(history) == 2
    np.testing.assert_array_equal(direction(history, gradient), before)


def test_the_gradient_is_not_touched() -> None:
    history = CurvatureHistory(2, 5)
    for pair in positive_pairs(2, 5):
        history.push(*pair, least_cosine=0.0)
    gradient = np.arange(5, dtype=np.float32)
    direction(history, gradient)
    np.testing.assert_array_equal(gradient, np.arange(5, dtype=np.float32))
