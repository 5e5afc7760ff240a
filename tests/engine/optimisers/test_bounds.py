"""Minimising between bounds: feasible at every point, stationary at the end, as good as SciPy's L-BFGS-B."""

import numpy as np
import pytest
from scipy.optimize import minimize

from impasto.engine import Engine, Settings
from impasto.engine.optimisers.adam import AdamSettings, adam
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.outcome import Budget, Evaluate, Outcome, Vector
from tests.engine.conftest import Files
from tests.oracles.problems import gram_matching, rosenbrock

BOUNDS = (0.0, 1.0)


def recorded(evaluate: Evaluate, points: list[Vector]) -> Evaluate:
    def call(x: Vector) -> tuple[float, Vector]:
        points.append(x.copy())
        return evaluate(x)

    return call


def quadratic(seed: int, n: int = 60) -> Evaluate:
    """A convex quadratic whose minimum lies partly outside 0..1, with condition number about 1e3."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = q @ np.diag(np.geomspace(1, 1e3, n)) @ q.T
    centre = rng.uniform(-0.7, 1.7, n)

    def evaluate(x: Vector) -> tuple[float, Vector]:
        d = x.astype(np.float64) - centre
        return float(0.5 * d @ a @ d), (a @ d).astype(np.float32)

    return evaluate


@pytest.mark.parametrize("seed", range(4))
def test_a_quadratic_ends_where_scipy_does(seed: int) -> None:
    points: list[Vector] = []
    evaluate = quadratic(seed)
    x0 = np.random.default_rng(seed + 100).uniform(-0.5, 1.5, 60).astype(np.float32)  # partly outside
    run = lbfgs(recorded(evaluate, points), x0, LbfgsSettings(bounds=BOUNDS), Budget(evaluations=400))
    losses = [step.loss for step in run]
    assert all(point.min() >= 0 and point.max() <= 1 for point in points)
    rival = minimize(
        lambda x: tuple(np.asarray(v, np.float64) for v in evaluate(x.astype(np.float32))),
        np.clip(x0, 0, 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS] * 60,
        options={"maxfun": 2000, "maxiter": 2000, "ftol": 0, "gtol": 0},
    )
    assert 0 < np.mean((rival.x == 0) | (rival.x == 1)) < 1  # bounds matter, and not for all
    assert losses[-1] <= rival.fun * (1 + 1e-4)


def test_a_bound_that_does_not_matter_changes_nothing() -> None:
    start = np.array([-1.2, 1, -1.2, 1], np.float32)
    free = [step.loss for step in lbfgs(rosenbrock, start, budget=Budget(iterations=30))]
    wide = LbfgsSettings(bounds=(-1e6, 1e6))
    assert [step.loss for step in lbfgs(rosenbrock, start, wide, Budget(iterations=30))] == free


def test_where_every_variable_is_held_the_point_is_stationary() -> None:
    def evaluate(x: Vector) -> tuple[float, Vector]:
        return float(x.sum()) + 9, np.ones_like(x)

    run = lbfgs(evaluate, np.zeros(5, np.float32), LbfgsSettings(bounds=BOUNDS))
    assert [step.loss for step in run] == [9.0]
    assert run.outcome is Outcome.STATIONARY


def test_gram_matching_is_nearly_as_low_as_without_bounds() -> None:
    evaluate, x0 = gram_matching()
    scale = float(np.abs(x0).max())
    bounds = (-scale, scale)
    ends = []
    for settings in (LbfgsSettings(), LbfgsSettings(bounds=bounds)):
        run = lbfgs(evaluate, x0, settings, Budget(evaluations=150))
        ends.append([step.loss for step in run])
    free, bounded = ends
    assert bounded[0] == free[0]
    assert bounded[-1] < 0.05 * bounded[0]


def test_adam_stays_between_bounds() -> None:
    points: list[Vector] = []
    evaluate = quadratic(7)
    run = adam(
        recorded(evaluate, points), np.full(60, 2, np.float32), AdamSettings(bounds=BOUNDS), Budget(iterations=60)
    )
    losses = [step.loss for step in run]
    assert all(point.min() >= 0 and point.max() <= 1 for point in points)
    assert losses[-1] < losses[0]


def test_settings_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"bounds is \(1, 0\); it must be None or \(least, largest\)"):
        LbfgsSettings(bounds=(1, 0))
    with pytest.raises(ValueError, match="bounds need line_search 'backtracking', not 'strong_wolfe'"):
        LbfgsSettings(bounds=BOUNDS, line_search="strong_wolfe")


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_picture_stays_within_what_a_file_can_hold(files: Files, optimizer: str) -> None:
    ends = {}
    with Engine(files.model) as engine:
        for bounded in (True, False):
            settings = Settings(
                size=0, iterations=40, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"),
                optimizer=optimizer, learning_rate=8.0, bounded=bounded,
            )  # fmt: skip
            ends[bounded] = engine.transfer(files.content, files.style, settings).picture.pixels
    assert ends[True].min() >= 0
    assert ends[True].max() <= 1
    assert ends[False].min() < 0 or ends[False].max() > 1
