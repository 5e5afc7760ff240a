"""The compact direction against the dense matrix, the two-loop recursion, and its own guards."""

from collections.abc import Callable

import numpy as np
import pytest

from impasto.engine.optimisers.curvature import CurvatureHistory
from tests.oracles.bfgs import dense_bfgs_direction, two_loop_direction

Move = tuple[np.ndarray, np.ndarray, np.ndarray]
Oracle = Callable[[list[tuple[np.ndarray, np.ndarray]], np.ndarray], np.ndarray]


def walk(count: int, size: int, *, seed: int = 0, offset: float = 1.0) -> list[Move]:
    """Moves (s, y, gradient after) through a quadratic with eigenvalues over three decades.

    The larger the offset, the smaller is a change of the gradient beside the gradient.
    """
    rng = np.random.default_rng(seed)
    diagonal = 10 ** rng.uniform(-2, 1, size)
    before = (offset * rng.normal(size=size)).astype(np.float32)
    moves = []
    for s in rng.normal(size=(count, size)).astype(np.float32):
        after = (before + diagonal * s).astype(np.float32)
        moves.append((s, after - before, after))
        before = after
    return moves


def direction(history: CurvatureHistory, gradient: np.ndarray) -> np.ndarray:
    out = np.empty_like(gradient)
    history.direction(gradient, out=out)
    return out


def error(history: CurvatureHistory, moves: list[Move], oracle: Oracle) -> float:
    """Relative error of the direction after these moves, in the L2 norm."""
    exact = [(s.astype(np.float64), y.astype(np.float64)) for s, y, _ in moves]
    gradient = moves[-1][2]
    expected = oracle(exact, gradient)
    return float(np.linalg.norm(direction(history, gradient) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_direction_is_that_of_the_dense_matrix(count: int) -> None:
    moves = walk(count, size=40)
    history = CurvatureHistory(10, 40)
    for move in moves:
        assert history.advance(*move, least_cosine=0.0)
    assert error(history, moves, dense_bfgs_direction) < 1e-5


@pytest.mark.parametrize("capacity", [1, 3, 10])
def test_old_pairs_are_forgotten_in_order(capacity: int) -> None:
    moves = walk(3 * capacity + 2, size=60)
    history = CurvatureHistory(capacity, 60)
    for count, move in enumerate(moves, start=1):
        history.advance(*move, least_cosine=0.0)
        kept = moves[max(0, count - capacity) : count]
        assert len(history) == len(kept)
        assert error(history, kept, two_loop_direction) < 1e-5


@pytest.mark.parametrize("offset", [1.0, 1e4])
def test_direction_of_a_long_vector_keeps_its_digits(offset: float) -> None:
    size = 300_001
    moves = walk(10, size, offset=offset)
    history = CurvatureHistory(10, size)
    for move in moves:
        history.advance(*move, least_cosine=0.0)
    assert error(history, moves, two_loop_direction) < 1e-5


def test_clearing_starts_afresh() -> None:
    first, second = walk(4, 30, seed=0), walk(2, 30, seed=9)
    used, fresh = CurvatureHistory(3, 30), CurvatureHistory(3, 30)
    for move in first:
        used.advance(*move, least_cosine=0.0)
    used.clear()
    assert len(used) == 0
    for move in second:
        used.advance(*move, least_cosine=0.0)
        fresh.advance(*move, least_cosine=0.0)
    np.testing.assert_array_equal(direction(used, second[-1][2]), direction(fresh, second[-1][2]))


@pytest.mark.parametrize(
    ("s", "y"),
    [
        pytest.param([1, 0, 0], [-1, 0, 0], id="negative curvature"),
        pytest.param([1, 0, 0], [0, 1, 0], id="no curvature"),
        pytest.param([1, 0, 0], [1e-4, 1, 0], id="curvature lost in rounding"),
        pytest.param([0, 0, 0], [1, 0, 0], id="no step"),
        pytest.param([1, 0, 0], [0, 0, 0], id="no change of gradient"),
        pytest.param([1, 0, 0], [1e-20, 0, 0], id="square too small for float32"),
        pytest.param([1, 0, 0], [np.nan, 0, 0], id="not a number"),
        pytest.param([1, 0, 0], [np.inf, 0, 0], id="infinite"),
    ],
)
def test_a_pair_without_curvature_is_left_out(s: list[float], y: list[float]) -> None:
    moves = walk(4, 3)
    history = CurvatureHistory(2, 3)
    for move in moves[:3]:
        history.advance(*move, least_cosine=0.0)
    assert not history.advance(np.array(s, np.float32), np.array(y, np.float32), moves[2][2], least_cosine=1e-3)
    assert len(history) == 2
    assert error(history, moves[1:3], two_loop_direction) < 1e-5
    history.advance(*moves[3], least_cosine=0.0)
    assert error(history, moves[2:], two_loop_direction) < 1e-5


def test_the_gradient_follows_a_move_whose_pair_is_left_out() -> None:
    moves = walk(6, 50)
    history = CurvatureHistory(3, 50)
    for index, move in enumerate(moves):
        history.advance(*move, least_cosine=0.999 if index == 3 else 0.0)
    assert error(history, [moves[2], *moves[4:]], two_loop_direction) < 1e-5


def test_the_gradient_is_not_touched() -> None:
    moves = walk(2, 5)
    history = CurvatureHistory(2, 5)
    for move in moves:
        history.advance(*move, least_cosine=0.0)
    gradient = moves[-1][2].copy()
    direction(history, gradient)
    np.testing.assert_array_equal(gradient, moves[-1][2])
