"""Both line searches on functions of one variable."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from impasto.engine.optimisers.line_search import Acceptance, Phi, Probe, backtracking, strong_wolfe
from impasto.engine.optimisers.outcome import Outcome

Function = Callable[[float], tuple[float, float]]
SEARCHES = [backtracking, strong_wolfe]


def acceptance(
    *, sufficient_decrease: float = 1e-4, curvature: float = 0.9, loss_noise: float = 0.0, max_evaluations: int = 25
) -> Acceptance:
    return Acceptance(sufficient_decrease, curvature, loss_noise, max_evaluations)


class Ray:
    """A function of the step size, with a record of where it was evaluated."""

    def __init__(self, function: Function, shortest: float = 0.0) -> None:
        self._function = function
        self._shortest = shortest
        self.steps: list[float] = []
        self.start = Probe(0.0, *function(0.0))

    def __call__(self, step_size: float) -> Probe | None:
        if step_size < self._shortest:
            return None
        self.steps.append(step_size)
        loss, slope = self._function(step_size)
        return Probe(step_size, loss, slope) if math.isfinite(loss) else Probe(step_size, math.inf, math.nan)


def parabola(minimum: float, floor: float = 0.0) -> Function:
    """Curvature 1, minimum ``floor`` at ``minimum``."""
    return lambda t: (floor + 0.5 * (t - minimum) ** 2, t - minimum)


def cliff(edge: float, beyond: float) -> Function:
    """Falling with slope -1, and ``beyond`` after the edge."""
    return lambda t: (-t, -1.0) if t <= edge else (beyond, math.nan)


def wave(seed: int) -> Function:
    """A random sum of cosines on a parabola, sloping down at 0."""
    rng = np.random.default_rng(seed)
    weights, phases, frequencies = rng.normal(size=4), rng.uniform(0, 6, 4), rng.uniform(0.3, 4, 4)
    scale = 10 ** rng.uniform(-1.5, 1.5)

    def function(t: float) -> tuple[float, float]:
        u = t * scale
        angles = frequencies * u + phases
        loss = float(np.sum(weights * np.cos(angles)) + 0.02 * u * u)
        return loss, float(scale * (-np.sum(weights * frequencies * np.sin(angles)) + 0.04 * u))

    return function if function(0.0)[1] < 0 else lambda t: (function(-t)[0], -function(-t)[1])


@pytest.mark.parametrize("search", SEARCHES)
def test_a_good_first_step_costs_one_evaluation(search: Callable[..., Probe | Outcome]) -> None:
    ray = Ray(parabola(1.2))
    assert isinstance(search(ray, ray.start, acceptance()), Probe)
    assert ray.steps == [1.0]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("minimum", [0.4, 1e-2, 1e-4])
def test_a_long_first_step_is_shortened(search: Callable[..., Probe | Outcome], minimum: float) -> None:
    ray = Ray(parabola(minimum))
    found = search(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert found.loss < ray.start.loss
    assert found.step_size == ray.steps[-1] < 1


def test_backtracking_jumps_to_the_minimum_of_a_parabola() -> None:
    ray = Ray(parabola(0.3))
    found = backtracking(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert ray.steps == pytest.approx([1.0, 0.3])


@pytest.mark.parametrize("seed", range(60))
def test_strong_wolfe_conditions_hold(seed: int) -> None:
    ray = Ray(wave(seed))
    rule = acceptance(curvature=0.1, max_evaluations=60)
    found = strong_wolfe(ray, ray.start, rule)
    assert isinstance(found, Probe)
    assert found.step_size == ray.steps[-1]
    assert found.loss <= ray.start.loss + 1e-4 * found.step_size * ray.start.slope
    assert abs(found.slope) <= 0.1 * abs(ray.start.slope)


def test_strong_wolfe_lengthens_a_short_step() -> None:
    ray = Ray(parabola(50.0))
    found = strong_wolfe(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert abs(found.slope) <= 0.9 * 50
    assert found.step_size > 1


def test_strong_wolfe_out_of_evaluations_takes_the_best_point_and_evaluates_it_last() -> None:
    ray = Ray(parabola(0.3, floor=5.0))
    found = strong_wolfe(ray, ray.start, acceptance(curvature=1e-3 - 1e-9, sufficient_decrease=1e-9, max_evaluations=1))
    assert found is Outcome.LINE_SEARCH_STALLED  # one trial, too far
    ray = Ray(lambda t: (abs(t - 2.5) ** 1.5, 1.5 * math.copysign(abs(t - 2.5) ** 0.5, t - 2.5)))
    found = strong_wolfe(ray, ray.start, acceptance(curvature=1e-6, sufficient_decrease=1e-9, max_evaluations=3))
    assert isinstance(found, Probe)
    assert found.step_size == ray.steps[-1]
    assert found.loss == min(ray._function(step)[0] for step in ray.steps)
    assert len(ray.steps) <= 4


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_stepped_back_from(search: Callable[..., Probe | Outcome], beyond: float) -> None:
    ray = Ray(cliff(edge=1e-3, beyond=beyond))
    found = search(ray, ray.start, acceptance())
    assert isinstance(found, Probe)
    assert math.isfinite(found.loss)
    assert 0 < found.step_size <= 1e-3


@pytest.mark.parametrize("search", SEARCHES)
def test_nothing_finite_is_said_so(search: Callable[..., Probe | Outcome]) -> None:
    ray = Ray(cliff(edge=0.0, beyond=math.nan))
    assert search(ray, ray.start, acceptance()) is Outcome.NON_FINITE_STEP
    vanishing = Ray(cliff(edge=0.0, beyond=math.nan), shortest=1e-3)
    assert search(vanishing, vanishing.start, acceptance()) is Outcome.NON_FINITE_STEP


@pytest.mark.parametrize("search", SEARCHES)
def test_a_loss_that_only_rises_stalls_after_the_allowed_evaluations(
    search: Callable[..., Probe | Outcome],
) -> None:
    ray = Ray(lambda t: (t, -1.0))
    assert search(ray, ray.start, acceptance(max_evaluations=7)) is Outcome.LINE_SEARCH_STALLED
    assert len(ray.steps) == 7


@pytest.mark.parametrize("search", SEARCHES)
def test_steps_too_short_to_move_end_the_search(search: Callable[..., Probe | Outcome]) -> None:
    ray = Ray(lambda t: (t, -1.0), shortest=0.01)
    assert search(ray, ray.start, acceptance()) is Outcome.STATIONARY
    immovable = Ray(parabola(1.0), shortest=2.0)
    assert search(immovable, immovable.start, acceptance()) is Outcome.STATIONARY
    assert immovable.steps == []


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(("noise", "accepted"), [(0.0, False), (1e-3, True)])
def test_a_rise_within_the_noise_is_accepted_and_no_more(
    search: Callable[..., Probe | Outcome], noise: float, accepted: bool
) -> None:
    rise: Phi = Ray(lambda t: (100.0 + (0.09 if t else 0.0), -1e-9 if t == 0 else 0.0))
    start = Probe(0.0, 100.0, -1e-9)
    assert isinstance(search(rise, start, acceptance(loss_noise=noise)), Probe) is accepted
    big_rise: Phi = Ray(lambda t: (100.0 + (0.11 if t else 0.0), -1e-9 if t == 0 else 0.0))
    assert not isinstance(search(big_rise, start, acceptance(loss_noise=noise)), Probe)


def test_the_noise_counts_the_magnitude_of_a_negative_loss() -> None:
    rule = acceptance(loss_noise=1e-3)
    start = Probe(0.0, -100.0, -1e-9)
    assert rule.decreases(start, Probe(1.0, -99.95, 0.0))
    assert not rule.decreases(start, Probe(1.0, -99.5, 0.0))
