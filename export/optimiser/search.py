"""The line search as masks: `impasto.engine.optimisers.line_search.backtracking` for every sample at once."""

from dataclasses import dataclass

from impasto.export.optimiser.algebra import Quantity
from impasto.export.optimiser.state import StepForm


@dataclass(frozen=True)
class Probe:
    """Loss, infinite where not finite, and directional derivative at one step size, each [N, 1], float64."""

    step_size: Quantity
    loss: Quantity
    slope: Quantity


def decreases(form: StepForm, start: Probe, probe: Probe) -> Quantity:
    """Return where the loss fell enough, up to noise."""
    promised = probe.step_size * start.slope * form.sufficient_decrease
    return probe.loss <= start.loss + promised + abs(start.loss) * form.loss_noise


def shortened(start: Probe, probe: Probe) -> Quantity:
    """Return the next step size to try: a tenth to a half of the last, by the cubic through both points."""
    share = probe.loss.algebra.where(probe.loss.is_finite(), _cubic_share(start, probe), 0.1)
    return probe.step_size * share.clip(0.1, 0.5)


def _cubic_share(start: Probe, probe: Probe) -> Quantity:
    """Return how far from start to probe the cubic is least (Nocedal and Wright 3.59)."""
    where = probe.loss.algebra.where
    start_slope, slope = start.slope * probe.step_size, probe.slope * probe.step_size
    d1 = start_slope + slope + (start.loss - probe.loss) * 3
    radicand = d1 * d1 - start_slope * slope
    real = radicand >= 0
    d2 = where(real, radicand, 0.0).sqrt()
    divisor = slope - start_slope + d2 * 2
    solvable = real & ~divisor.equals(0)
    return where(solvable, 1.0 - (slope + d2 - d1) / where(solvable, divisor, 1.0), 0.5)
