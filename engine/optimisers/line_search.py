"""How far to go along a descent direction."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

from impasto.engine.optimisers.solution import Outcome, Score, Vector


@dataclass(frozen=True)
class Probe:
    """Loss (infinite where not finite) and directional derivative at one step size along the ray."""

    step_size: float
    loss: float
    slope: float


Probing = Generator[Vector, Score | None, Probe | None]
"""Yields the point at one step size; returns its values, or None if the step is too short to change x."""

Search = Generator[Vector, Score | None, Probe | Outcome]


@dataclass(frozen=True)
class Acceptance:
    """When a step is good enough.

    Args:
        sufficient_decrease: c1 in Nocedal and Wright (2006) 3.6a: the share of the decrease that the slope promises.
        loss_noise: relative error of the loss. A step may raise the loss by that much: near rounding, a search that
            insists on a decrease can fail at every step.
        max_evaluations: for one search.
    """

    sufficient_decrease: float
    loss_noise: float
    max_evaluations: int

    def decreases(self, start: Probe, probe: Probe) -> bool:
        """Return whether the loss fell enough, up to noise."""
        promised = self.sufficient_decrease * probe.step_size * start.slope
        return probe.loss <= start.loss + promised + self.loss_noise * abs(start.loss)


def backtracking(probe_at: Callable[[float], Probing], start: Probe, acceptance: Acceptance) -> Search:
    """Shorten the step until the loss falls enough (Nocedal and Wright, algorithm 3.1, with cubic interpolation).

    The search tries step 1 first. A value that is not finite counts as far too high.

    Args:
        probe_at: evaluates the objective at a step size.
        start: the values at step 0; its slope is negative.
        acceptance: what is enough.

    Returns:
        The accepted point, which was evaluated last; or why there is none.
    """
    probe, step_size = start, 1.0
    for _ in range(acceptance.max_evaluations):
        trial = yield from probe_at(step_size)
        if trial is None:
            return _failure(probe, vanished=True)
        probe = trial
        if acceptance.decreases(start, probe):
            return probe
        share = _cubic_share(start, probe) if math.isfinite(probe.loss) else 0.0
        step_size = probe.step_size * min(max(share, 0.1), 0.5)
    return _failure(probe)


def _failure(probe: Probe, *, vanished: bool = False) -> Outcome:
    if not math.isfinite(probe.loss):
        return Outcome.NON_FINITE_STEP
    return Outcome.STATIONARY if vanished else Outcome.LINE_SEARCH_STALLED


def _cubic_share(low: Probe, high: Probe) -> float:
    """Return how far from low to high the cubic through both points and slopes is least (Nocedal and Wright 3.59)."""
    span = high.step_size - low.step_size
    low_slope, high_slope = low.slope * span, high.slope * span
    d1 = low_slope + high_slope + 3 * (low.loss - high.loss)
    radicand = d1 * d1 - low_slope * high_slope
    if not radicand >= 0:
        return 0.5
    d2 = math.sqrt(radicand)
    divisor = high_slope - low_slope + 2 * d2
    return 1 - (high_slope + d2 - d1) / divisor if divisor else 0.5
