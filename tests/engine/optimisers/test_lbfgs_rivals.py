"""L-BFGS against SciPy's and PyTorch's at equal evaluations, on objectives that are smooth but not convex."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from impasto.engine.optimisers.lbfgs import LbfgsSettings, LineSearch, lbfgs
from impasto.engine.optimisers.outcome import Budget, Evaluate, Vector
from tests.oracles.problems import gram_matching, rosenbrock

HISTORY = 10


class EnoughError(Exception):
    pass


def recorded(evaluate: Evaluate, limit: int) -> tuple[Evaluate, list[float]]:
    """The objective, which ends a rival's run after so many evaluations, and its losses."""
    losses: list[float] = []

    def recording(x: Vector) -> tuple[float, Vector]:
        if len(losses) == limit:
            raise EnoughError
        loss, gradient = evaluate(x)
        losses.append(loss)
        return loss, gradient

    return recording, losses


def best_of_scipy(evaluate: Evaluate, x0: Vector, evaluations: int) -> float:
    optimize = pytest.importorskip("scipy.optimize")
    recording, losses = recorded(evaluate, evaluations)

    def float64(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = recording(x.astype(np.float32))
        return loss, gradient.astype(np.float64)

    with suppress(EnoughError):
        optimize.minimize(
            float64,
            x0.astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": HISTORY, "maxiter": 10**6, "maxfun": 10**6, "ftol": 0, "gtol": 0},
        )
    return min(losses)


def best_of_torch(evaluate: Evaluate, x0: Vector, evaluations: int) -> float:
    torch = pytest.importorskip("torch")
    recording, losses = recorded(evaluate, evaluations)
    x = torch.tensor(x0, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [x], max_iter=10**6, max_eval=10**6, history_size=HISTORY, tolerance_grad=-1, tolerance_change=-1
    )

    def closure() -> float:
        loss, gradient = recording(x.detach().numpy())
        x.grad = torch.tensor(gradient)
        return loss

    with suppress(EnoughError):
        optimizer.step(closure)
    return min(losses)


def best_of_impasto(evaluate: Evaluate, x0: Vector, evaluations: int, line_search: LineSearch) -> float:
    settings = LbfgsSettings(history_size=HISTORY, line_search=line_search)
    return min(step.loss for step in lbfgs(evaluate, x0, settings, Budget(evaluations=evaluations)))


@pytest.mark.parametrize("rival", [best_of_scipy, best_of_torch])
@pytest.mark.parametrize(("line_search", "allowed"), [("backtracking", 1.02), ("strong_wolfe", 1.1)])
def test_gram_matching_is_no_worse_than_a_rival_in_the_mean(
    rival: Callable[[Evaluate, Vector, int], float], line_search: LineSearch, allowed: float
) -> None:
    """The paths part early, so that single runs differ by several percent either way."""
    ratios = []
    for seed in range(12):
        evaluate, x0 = gram_matching(seed=seed)
        ratios.append(best_of_impasto(evaluate, x0, 100, line_search) / rival(evaluate, x0, 100))
    assert np.exp(np.mean(np.log(ratios))) < allowed
    assert max(ratios) < 1.3


@pytest.mark.parametrize("rival", [best_of_scipy, best_of_torch])
def test_the_valley_of_rosenbrock_is_followed_as_fast_as_by_a_rival(
    rival: Callable[[Evaluate, Vector, int], float],
) -> None:
    x0 = np.tile(np.array([-1.2, 1.0], np.float32), 20)
    assert best_of_impasto(rosenbrock, x0, 80, "backtracking") < max(1e-6, 2 * rival(rosenbrock, x0, 80))
