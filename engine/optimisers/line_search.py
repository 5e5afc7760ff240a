"""Line searches: how far to go along a descent direction.

Both take ``phi``, which evaluates the objective at a step size, and the values at step 0. Both first try step 1, both
return the point that was evaluated last, and both count a value that is not finite as far too high.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from impasto.engine.optimisers.outcome import Outcome


@dataclass(frozen=True)
class Probe:
    """Loss (infinite where not finite) and directional derivative at one step size along the ray."""

    step_size: float
    loss: float
    slope: float


Phi = Callable[[float], Probe | None]
"""Step size -> what was found there; None where the step is too short to change x."""


@dataclass(frozen=True)
class Acceptance:
    """When a step is good enough.

    Args:
        sufficient_decrease: c1 in Nocedal and Wright (2006) 3.6a: the share of the decrease promised by the slope.
        curvature: c2 in 3.7b, for the strong Wolfe search only.
        loss_noise: relative error of the loss. A step may raise the loss by that much: near rounding, a search that
            insists on a decrease can fail for ever.
        max_evaluations: for one search.
    """

    sufficient_decrease: float
    curvature: float
    loss_noise: float
    max_evaluations: int

    def decreases(self, start: Probe, probe: Probe) -> bool:
        """Whether the loss fell enough, up to noise."""
        promised = self.sufficient_decrease * probe.step_size * start.slope
        return probe.loss <= start.loss + promised + self.loss_noise * abs(start.loss)

    def flattens(self, start: Probe, probe: Probe) -> bool:
        """Whether the slope's magnitude fell enough."""
        return abs(probe.slope) <= self.curvature * abs(start.slope)


def backtracking(phi: Phi, start: Probe, acceptance: Acceptance) -> Probe | Outcome:
    """Shorten the step until the loss falls enough (Nocedal and Wright, algorithm 3.1, with cubic interpolation).

    Args:
        phi: the objective along the ray.
        start: the values at step 0; its slope is negative.
        acceptance: what is enough.

    Returns:
        The accepted point, or why there is none.
    """
    probe, step_size = start, 1.0
    for _ in range(acceptance.max_evaluations):
        trial = phi(step_size)
        if trial is None:
            return _failure(probe, vanished=True)
        probe = trial
        if acceptance.decreases(start, probe):
            return probe
        step_size = _between(start, probe, nearest=0.1, farthest=0.5)
    return _failure(probe)


def strong_wolfe(phi: Phi, start: Probe, acceptance: Acceptance) -> Probe | Outcome:
    """Find a step that meets the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6 as one loop).

    ``low`` is the best point so far with enough decrease and ``high``, once there is one, the other end of a bracket
    that holds acceptable steps. If evaluations run out, low is taken, at the cost of evaluating it again.

    Args and returns: as ``backtracking``.
    """
    low, high, probe, step_size = start, None, start, 1.0
    for _ in range(acceptance.max_evaluations):
        trial = phi(step_size)
        if trial is None:
            return _settle(phi, start, low, probe, acceptance, vanished=True)
        probe = trial
        if not acceptance.decreases(start, probe) or (low is not start and probe.loss >= low.loss):
            high = probe
        elif acceptance.flattens(start, probe):
            return probe
        else:
            if probe.slope * ((high or probe).step_size - low.step_size) >= 0:
                high = low
            low = probe
        step_size = 4 * low.step_size if high is None else _between(low, high, nearest=0.1, farthest=0.9)
    return _settle(phi, start, low, probe, acceptance)


def _settle(
    phi: Phi, start: Probe, low: Probe, probe: Probe, acceptance: Acceptance, *, vanished: bool = False
) -> Probe | Outcome:
    """End a search that met no strong Wolfe step with the best point it has, evaluated last."""
    if low is start:
        return _failure(probe, vanished=vanished)
    again = probe if probe is low else phi(low.step_size)
    return again if again is not None and acceptance.decreases(start, again) else _failure(probe)


def _failure(probe: Probe, *, vanished: bool = False) -> Outcome:
    if not math.isfinite(probe.loss):
        return Outcome.NON_FINITE_STEP
    return Outcome.STATIONARY if vanished else Outcome.LINE_SEARCH_STALLED


def _between(low: Probe, high: Probe, *, nearest: float, farthest: float) -> float:
    """Return a step size at a share of the way from low to high that lies in [nearest, farthest]."""
    share = _cubic_share(low, high) if math.isfinite(high.loss) else nearest
    return low.step_size + min(max(share, nearest), farthest) * (high.step_size - low.step_size)


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
