"""How L-BFGS ends, and what it does with noise and with values that are not finite."""

import math
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from impasto.engine.optimisers.lbfgs import LbfgsSettings, LineSearch, lbfgs
from impasto.engine.optimisers.minimisation import Minimisation
from impasto.engine.optimisers.outcome import Budget, Evaluate, Outcome, Vector
from tests.oracles.problems import gram_matching, rosenbrock

SEARCHES: list[LineSearch] = ["backtracking", "strong_wolfe"]
START = np.array([-1.2, 1, -1.2, 1], np.float32)


def finish(run: Minimisation) -> Outcome:
    """Iterate to the end."""
    for _ in run:
        pass
    assert run.outcome is not None
    assert list(run) == []  # an ended run stays ended
    return run.outcome


def counted(evaluate: Evaluate, calls: list[Vector]) -> Evaluate:
    def recording(x: Vector) -> tuple[float, Vector]:
        calls.append(x.copy())
        return evaluate(x)

    return recording


@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("evaluations", [1, 2, 3, 4, 5, 6, 7, 8, 20])
def test_evaluations_are_never_exceeded_even_within_a_search(line_search: LineSearch, evaluations: int) -> None:
    calls: list[Vector] = []
    settings = LbfgsSettings(line_search=line_search, first_step_mean_change=1.0)  # far too long: many are rejected
    run = lbfgs(counted(rosenbrock, calls), START, settings, Budget(evaluations=evaluations))
    assert finish(run) is Outcome.EVALUATIONS_DONE
    assert len(calls) == run.evaluations == evaluations
    assert run.last is not None
    assert run.last.loss == rosenbrock(run.last.x)[0]  # the last accepted point, not a trial point


@pytest.mark.parametrize("iterations", [0, 1, 7])
def test_iterations_are_kept_and_none_is_wasted(iterations: int) -> None:
    run = lbfgs(rosenbrock, START, budget=Budget(iterations=iterations))
    assert finish(run) is Outcome.ITERATIONS_DONE
    assert run.last is not None
    assert run.last.iteration == iterations
    assert run.evaluations == run.last.evaluations


def test_nothing_runs_before_the_first_step_is_asked_for() -> None:
    calls: list[Vector] = []
    run = lbfgs(counted(rosenbrock, calls), START)
    assert not calls
    assert (run.outcome, run.last, run.evaluations) == (None, None, 0)
    next(run)
    assert len(calls) == 1


def test_no_evaluation_starts_after_the_deadline() -> None:
    now = [0.0]

    def evaluate(x: Vector) -> tuple[float, Vector]:
        now[0] += 1.0
        return rosenbrock(x)

    run = lbfgs(evaluate, START, budget=Budget(deadline=4.5, clock=lambda: now[0]))
    assert finish(run) is Outcome.DEADLINE
    assert run.evaluations == 5
    passed = lbfgs(evaluate, START, budget=Budget(deadline=0.0, clock=lambda: now[0]))
    assert finish(passed) is Outcome.DEADLINE
    assert passed.last is None


def test_the_deadline_is_on_the_monotonic_clock() -> None:
    def slow(x: Vector) -> tuple[float, Vector]:
        time.sleep(0.02)
        return rosenbrock(x)

    run = lbfgs(slow, START, budget=Budget(deadline=time.monotonic() + 0.05, evaluations=100))
    assert finish(run) is Outcome.DEADLINE
    assert 1 <= run.evaluations <= 3


def test_cancellation_is_asked_for_before_each_evaluation() -> None:
    calls: list[Vector] = []
    run = lbfgs(counted(rosenbrock, calls), START, budget=Budget(cancelled=lambda: len(calls) >= 6))
    assert finish(run) is Outcome.CANCELLED
    assert len(calls) == 6
    assert run.last is not None


def test_leaving_the_loop_keeps_the_result() -> None:
    run = lbfgs(rosenbrock, START)
    for step in run:
        if step.iteration == 3:
            break
    assert run.last is step
    assert run.outcome is None


def test_an_exception_of_the_objective_passes_through() -> None:
    def broken(x: Vector) -> tuple[float, Vector]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        next(lbfgs(broken, START))


def test_a_zero_gradient_at_the_start_is_stationary() -> None:
    run = lbfgs(rosenbrock, np.ones(4, np.float32))
    assert finish(run) is Outcome.STATIONARY
    assert run.evaluations == 1
    assert run.last is not None
    assert run.last.iteration == 0


@pytest.mark.parametrize("line_search", SEARCHES)
def test_a_minimum_reached_to_rounding_is_stationary(line_search: LineSearch) -> None:
    minimum = 1000.00002  # between two float32 numbers, so that the gradient is never zero

    def bowl(x: Vector) -> tuple[float, Vector]:
        offset = x.astype(np.float64) - minimum
        return float(offset @ offset), (2 * offset).astype(np.float32)

    start = np.array([990, 1001, 1000.5], np.float32)
    run = lbfgs(bowl, start, LbfgsSettings(line_search=line_search, loss_noise=0), Budget(1000))
    assert finish(run) is Outcome.STATIONARY
    assert run.last is not None
    np.testing.assert_array_equal(run.last.x, np.full(3, minimum, np.float32))


def test_a_gradient_that_misleads_is_said_to_stall() -> None:
    def misleading(x: Vector) -> tuple[float, Vector]:
        return float(np.sum(np.abs(x.astype(np.float64)))), -np.ones_like(x)

    run = lbfgs(misleading, np.full(3, 1e-3, np.float32), LbfgsSettings(loss_noise=0, max_search_evaluations=4))
    assert finish(run) is Outcome.LINE_SEARCH_STALLED
    assert run.evaluations == 5
    assert run.last is not None
    assert run.last.iteration == 0


def test_a_failed_search_drops_the_history_and_goes_on_downhill() -> None:
    """Once, the objective refuses every point near where the history leads; a short step downhill is free again."""
    evaluate, x0 = gram_matching()
    state = {"calls": 0}
    blocked = range(12, 16)

    def blocking(x: Vector) -> tuple[float, Vector]:
        state["calls"] += 1
        loss, gradient = evaluate(x)
        return (math.nan if state["calls"] in blocked else loss), gradient

    settings = LbfgsSettings(max_search_evaluations=len(blocked))
    run = lbfgs(blocking, x0, settings, Budget(evaluations=40))
    points = [(step.evaluations, step.x.copy(), step.loss) for step in run]
    assert run.outcome is Outcome.EVALUATIONS_DONE
    before = next(x for evaluations, x, _ in points if evaluations == 11)
    after = next(x for evaluations, x, _ in points if evaluations == 16)
    step, gradient = after - before, evaluate(before)[1]
    assert step @ gradient == pytest.approx(-np.linalg.norm(step) * np.linalg.norm(gradient), rel=1e-4)
    assert np.abs(step).mean() == pytest.approx(1 / 255, rel=1e-3)
    assert points[-1][2] < 0.5 * points[0][2]


@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient", "both"])
@pytest.mark.parametrize("at", [(2,), (7,), (7, 8, 9), (2, 3, 12)])
def test_values_not_finite_are_stepped_back_from(
    line_search: LineSearch, bad: float, where: str, at: tuple[int, ...]
) -> None:
    evaluate, x0 = gram_matching(size=60)
    calls = [0]

    def poisoned(x: Vector) -> tuple[float, Vector]:
        calls[0] += 1
        loss, gradient = evaluate(x)
        if calls[0] in at:
            if where != "gradient":
                loss = bad
            if where != "loss":
                gradient[17] = bad
        return loss, gradient

    run = lbfgs(poisoned, x0, LbfgsSettings(line_search=line_search), Budget(evaluations=60))
    losses = []
    for step in run:
        assert step.evaluations not in at
        assert math.isfinite(step.loss)
        assert np.isfinite(step.x).all()
        losses.append(step.loss)
    assert run.outcome is Outcome.EVALUATIONS_DONE
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("poison", [lambda g: (math.nan, g), lambda g: (math.inf, g), lambda g: (1.0, g * np.nan)])
def test_a_start_that_is_not_finite_is_an_outcome(poison: Callable[[Vector], tuple[float, Vector]]) -> None:
    run = lbfgs(lambda x: poison(np.ones_like(x)), START)
    assert finish(run) is Outcome.NON_FINITE_START
    assert run.evaluations == 1
    assert run.last is None


@pytest.mark.parametrize("line_search", SEARCHES)
def test_a_wall_all_around_is_an_outcome(line_search: LineSearch) -> None:
    def walled(x: Vector) -> tuple[float, Vector]:
        return (1.0 if np.array_equal(x, START) else math.nan), np.ones_like(x)

    run = lbfgs(walled, START, LbfgsSettings(line_search=line_search))
    assert finish(run) is Outcome.NON_FINITE_STEP
    assert run.last is not None
    np.testing.assert_array_equal(run.last.x, START)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_reduced_precision_does_not_stall_it(seed: int) -> None:
    """A loss good to 2e-3, and 3 % of noise in the gradient, as bfloat16 convolutions give."""
    evaluate, x0 = gram_matching(seed=seed)
    rng = np.random.default_rng(seed)

    def noisy(x: Vector) -> tuple[float, Vector]:
        loss, gradient = evaluate(x)
        error = rng.normal(size=x.size).astype(np.float32)
        error *= np.float32(0.03) * np.linalg.norm(gradient) / np.linalg.norm(error)
        return loss * (1 + rng.uniform(-1e-3, 1e-3)), gradient + error

    tolerant = lbfgs(noisy, x0, LbfgsSettings(loss_noise=2e-3), Budget(evaluations=150))
    assert finish(tolerant) is Outcome.EVALUATIONS_DONE
    exact = lbfgs(evaluate, x0, LbfgsSettings(), Budget(evaluations=150))
    assert finish(exact) is Outcome.EVALUATIONS_DONE
    assert tolerant.last is not None
    assert exact.last is not None
    assert tolerant.last.iteration > 120
    assert evaluate(tolerant.last.x)[0] < 1.05 * exact.last.loss


@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-2])
def test_no_rise_beyond_the_tolerance_is_accepted(line_search: LineSearch, noise: float) -> None:
    rng = np.random.default_rng(0)

    def rough(x: Vector) -> tuple[float, Vector]:
        loss, gradient = rosenbrock(x)
        return (loss + 1) * (1 + rng.uniform(-0.05, 0.05)), gradient

    run = lbfgs(rough, START, LbfgsSettings(line_search=line_search, loss_noise=noise), Budget(evaluations=200))
    losses = [step.loss for step in run]
    assert all(after <= before * (1 + noise) for before, after in pairwise(losses))


def test_every_outcome_has_a_message_of_its_own() -> None:
    messages = {outcome.message for outcome in Outcome}
    assert len(messages) == len(Outcome)
    assert all(message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("name", "value", "allowed"), [("iterations", -1, "0 or more"), ("evaluations", 0, "1 or more")]
)
def test_a_budget_out_of_range_is_refused(name: str, value: int, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be {allowed}, or None$"):
        Budget(**{name: value})  # type: ignore[arg-type]
