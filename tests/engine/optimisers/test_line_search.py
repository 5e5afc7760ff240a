"""The line search on functions of one variable."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from impasto.engine.optimisers.line_search import Acceptance, Probe, Probing, backtracking
from impasto.engine.optimisers.solution import Outcome, Score

Function = Callable[[float], tuple[float, float]]
SCORE = Score(0.0, np.zeros(1, np.float32))
"""Sent for every point; a `Ray` has the values itself."""


def acceptance(*, loss_noise: float = 0.0, max_evaluations: int = 25) -> Acceptance:
    return Acceptance(1e-4, loss_noise, max_evaluations)


class Ray:
    """A function of the step size, with a record of where it was evaluated."""

    def __init__(self, function: Function, shortest: float = 0.0) -> None:
        self._function = function
        self._shortest = shortest
        self.steps: list[float] = []
        self.start = Probe(0.0, *function(0.0))

    def probe_at(self, step_size: float) -> Probing:
        if step_size < self._shortest:
            return None
        assert (yield np.array([step_size], np.float32)) is SCORE
        self.steps.append(step_size)
        loss, slope = self._function(step_size)
        return Probe(step_size, loss, slope) if math.isfinite(loss) else Probe(step_size, math.inf, math.nan)


def search(ray: Ray, start: Probe, rule: Acceptance) -> Probe | Outcome:
    """Answer every point of a search until it returns."""
    searching, reply = backtracking(ray.probe_at, start, rule), None
    while True:
        try:
            searching.send(reply)
        except StopIteration as end:
            found: Probe | Outcome = end.value
            return found
        reply = SCORE


def parabola(minimum: float) -> Function:
    """Curvature 1, minimum 0 at ``minimum``."""
    return lambda t: (0.5 * (t - minimum) ** 2, t - minimum)


def cliff(edge: float, beyond: float) -> Function:
    """Falling with slope -1, and ``beyond`` after the edge."""
    return lambda t: (-t, -1.0) if t <= edge else (beyond, math.nan)


def test_a_good_first_step_costs_one_evaluation() -> None:
    ray = Ray(parabola(1.2))
    assert isinstance(search(ray, ray.start, acceptance()), Probe)
    assert ray.steps == [1.0]


@pytest.mark.parametrize("minimum", [0.4, 1e-2, 1e-4])
def test_a_long_first_step_is_shortened(minimum: float) -> None:
    ray = Ray(parabola(minimum))
    found = search(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert found.loss < ray.start.loss
    assert found.step_size == ray.steps[-1] < 1


def test_backtracking_jumps_to_the_minimum_of_a_parabola() -> None:
    ray = Ray(parabola(0.3))
    found = search(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert ray.steps == pytest.approx([1.0, 0.3])


@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_stepped_back_from(beyond: float) -> None:
    ray = Ray(cliff(edge=1e-3, beyond=beyond))
    found = search(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert math.isfinite(found.loss)
    assert 0 < found.step_size <= 1e-3


def test_nothing_finite_is_said_so() -> None:
    ray = Ray(cliff(edge=0.0, beyond=math.nan))
    assert search(ray, ray.start, acceptance()) is Outcome.NON_FINITE_STEP
    vanishing = Ray(cliff(edge=0.0, beyond=math.nan), shortest=1e-3)
    assert search(vanishing, vanishing.start, acceptance()) is Outcome.NON_FINITE_STEP


def test_a_loss_that_only_rises_stalls_after_the_allowed_evaluations() -> None:
    ray = Ray(lambda t: (t, -1.0))
    assert search(ray, ray.start, acceptance(max_evaluations=7)) is Outcome.LINE_SEARCH_STALLED
    assert len(ray.steps) == 7


def test_steps_too_short_to_move_end_the_search() -> None:
    ray = Ray(lambda t: (t, -1.0), shortest=0.01)
    assert search(ray, ray.start, acceptance()) is Outcome.STATIONARY
    immovable = Ray(parabola(1.0), shortest=2.0)
    assert search(immovable, immovable.start, acceptance()) is Outcome.STATIONARY
    assert immovable.steps == []


@pytest.mark.parametrize(("noise", "accepted"), [(0.0, False), (1e-3, True)])
def test_a_rise_within_the_noise_is_accepted_and_no_more(noise: float, accepted: bool) -> None:
    rise = Ray(lambda t: (100.0 + (0.09 if t else 0.0), -1e-9 if t == 0 else 0.0))
    start = Probe(0.0, 100.0, -1e-9)
    assert isinstance(search(rise, start, acceptance(loss_noise=noise)), Probe) is accepted
    big_rise = Ray(lambda t: (100.0 + (0.11 if t else 0.0), -1e-9 if t == 0 else 0.0))
    assert not isinstance(search(big_rise, start, acceptance(loss_noise=noise)), Probe)


def test_the_noise_counts_the_magnitude_of_a_negative_loss() -> None:
    rule = acceptance(loss_noise=1e-3)
    start = Probe(0.0, -100.0, -1e-9)
    assert rule.decreases(start, Probe(1.0, -99.95, 0.0))
    assert not rule.decreases(start, Probe(1.0, -99.5, 0.0))
