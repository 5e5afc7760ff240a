"""What an optimiser yields, what it must be sent, and how it ends."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from impasto.engine.optimisers.adam import AdamSettings, adam
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.solution import Budget, Optimiser, Outcome, Score, Step, Vector
from tests.engine.optimisers import running
from tests.oracles.problems import gram_matching, rosenbrock

START = np.array([-1.2, 1, -1.2, 1], np.float32)
both = pytest.mark.parametrize("begin", [lbfgs, adam])
Begin = Callable[[Vector], Optimiser]


def point(request: Vector | Step) -> Vector:
    """The request, which must be a point."""
    assert isinstance(request, np.ndarray)
    return request


def step(request: Vector | Step) -> Step:
    """The request, which must be a step."""
    assert isinstance(request, Step)
    return request


def started(optimiser: Optimiser) -> Optimiser:
    """Score the start with loss 1 and a gradient of ones; the next request is the first trial point."""
    x = point(next(optimiser))
    step(optimiser.send(Score(1.0, np.ones_like(x))))
    return optimiser


def outcome(optimiser: Optimiser, score: Callable[[Vector], Score]) -> tuple[Outcome, list[Step]]:
    """Answer every request until the optimiser returns."""
    steps: list[Step] = []
    reply: Score | None = None
    while True:
        try:
            request = optimiser.send(reply)
        except StopIteration as end:
            ended: Outcome = end.value
            return ended, steps
        reply = None if isinstance(request, Step) else score(request)
        if isinstance(request, Step):
            steps.append(request)


@both
def test_the_start_is_scored_then_a_step_then_the_first_trial_point(begin: Begin) -> None:
    optimiser = begin(START)
    np.testing.assert_array_equal(point(next(optimiser)), START)
    first = step(optimiser.send(Score(*rosenbrock(START), {"style": 1.0})))
    assert (first.iteration, first.evaluations, first.step_size) == (0, 1, 0.0)
    assert (first.loss, first.terms) == (rosenbrock(START)[0], {"style": 1.0})
    np.testing.assert_array_equal(first.x, START)
    trial = point(next(optimiser))
    assert not np.array_equal(trial, START)
    with pytest.raises(ValueError, match="read-only"):
        trial[0] = 0


@both
def test_a_step_follows_the_score_that_was_accepted_and_points_follow_rejected_ones(begin: Begin) -> None:
    optimiser = started(begin(START))
    rejected = point(next(optimiser)).copy()
    for _ in range(3):
        shorter = point(optimiser.send(Score(math.inf, np.ones_like(START))))
        assert np.all(np.abs(shorter - START) < np.abs(rejected - START))
        rejected = shorter.copy()
    accepted = step(optimiser.send(Score(0.5, np.ones_like(START))))
    assert (accepted.iteration, accepted.evaluations, accepted.loss) == (1, 5, 0.5)
    np.testing.assert_array_equal(accepted.x, rejected)
    point(next(optimiser))


@both
def test_a_closed_optimiser_has_ended(begin: Begin) -> None:
    unstarted, at_a_point, at_a_step = begin(START), begin(START), begin(START)
    point(next(at_a_point))
    step(at_a_step.send(Score(*rosenbrock(point(next(at_a_step))))))
    for optimiser in (unstarted, at_a_point, at_a_step):
        optimiser.close()
        with pytest.raises(StopIteration):
            next(optimiser)


@both
def test_a_point_must_be_answered_with_a_score(begin: Begin) -> None:
    waiting = begin(START)
    next(waiting)
    searching = started(begin(START))
    next(searching)
    for optimiser in (waiting, searching):
        with pytest.raises(ValueError, match="must be sent its Score"):
            next(optimiser)


@both
@pytest.mark.parametrize(
    "gradient", [np.zeros(4), np.zeros(3, np.float32), np.zeros((2, 2), np.float32)], ids=["float64", "short", "2-D"]
)
def test_a_gradient_of_another_type_or_shape_is_refused(begin: Begin, gradient: np.ndarray) -> None:
    waiting = begin(START)
    next(waiting)
    searching = started(begin(START))
    next(searching)
    for optimiser in (waiting, searching):
        with pytest.raises(ValueError, match=r"it must be float32 \(4,\), as x is"):
            optimiser.send(Score(0.0, gradient))


def test_terms_are_those_of_the_accepted_point_where_a_longer_step_had_the_same_loss() -> None:
    slope = 4 * LbfgsSettings().first_step_mean_change
    loss = 1 - 0.3 * slope  # less than half of the slope, which a step of 1 must reach; enough for a step of 0.5
    optimiser = started(lbfgs(START, LbfgsSettings(sufficient_decrease=0.5, loss_noise=0)))
    next(optimiser)
    point(optimiser.send(Score(loss, np.ones_like(START), {"style": 1.0})))
    accepted = step(optimiser.send(Score(loss, np.ones_like(START), {"style": 2.0})))
    assert (accepted.loss, accepted.terms, accepted.evaluations) == (loss, {"style": 2.0}, 3)


@both
def test_terms_are_those_of_the_accepted_point_where_one_without_a_gradient_had_the_same_loss(begin: Begin) -> None:
    optimiser = started(begin(START))
    next(optimiser)
    point(optimiser.send(Score(0.5, np.full_like(START, math.nan), {"style": 1.0})))
    accepted = step(optimiser.send(Score(0.5, np.ones_like(START), {"style": 2.0})))
    assert (accepted.loss, accepted.terms) == (0.5, {"style": 2.0})


@both
@pytest.mark.parametrize("terms", [{}, {"style": math.nan, "content": 0.0}], ids=["no terms", "terms"])
@pytest.mark.parametrize("good", [0, 1, 2, 7])
def test_a_loss_that_is_and_stays_nan_is_an_outcome(begin: Begin, good: int, terms: dict[str, float]) -> None:
    evaluate, x0 = gram_matching(size=60)
    calls = [0]

    def score(x: Vector) -> Score:
        calls[0] += 1
        loss, gradient = evaluate(x)
        return Score(loss if calls[0] <= good else math.nan, gradient, terms)

    ended, steps = outcome(begin(x0), score)
    assert ended is (Outcome.NON_FINITE_STEP if good else Outcome.NON_FINITE_START)
    assert len(steps) == good
    assert all(math.isfinite(one.loss) for one in steps)


@both
def test_one_nan_loss_is_stepped_back_from(begin: Begin) -> None:
    optimiser = started(begin(START))
    next(optimiser)
    point(optimiser.send(Score(math.nan, np.ones_like(START), {"style": math.nan})))
    assert step(optimiser.send(Score(0.5, np.ones_like(START)))).evaluations == 3


@pytest.mark.parametrize("run", [running.lbfgs, running.adam])
def test_a_loss_of_numpys_float32_is_a_number_like_any_other(run: Callable[..., list[Step]]) -> None:
    evaluate, x0 = gram_matching()

    def rounded(x: Vector) -> tuple[float, Vector]:
        loss, gradient = evaluate(x)
        return float(np.float32(loss)), gradient

    def float32(x: Vector) -> tuple[np.float32, Vector]:
        loss, gradient = evaluate(x)
        return np.float32(loss), gradient

    budget = Budget(evaluations=60)
    expected = [(one.loss, one.x.tobytes()) for one in run(rounded, x0, budget=budget)]
    actual = [(one.loss, one.x.tobytes()) for one in run(float32, x0, budget=budget)]
    assert actual == expected
    assert all(type(loss) is float for loss, _ in actual)


def test_halvings_are_counted_by_evaluation() -> None:
    optimiser = started(adam(START, AdamSettings(max_halvings=1)))
    next(optimiser)
    optimiser.send(Score(math.inf, np.ones_like(START)))
    with pytest.raises(StopIteration) as end:
        optimiser.send(Score(math.inf, np.ones_like(START)))
    assert end.value.value is Outcome.NON_FINITE_STEP
