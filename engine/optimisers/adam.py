"""Adam over a flat float32 vector (Kingma and Ba, arXiv:1412.6980, algorithm 1), with numpy alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from impasto.engine.optimisers.minimisation import (
    BudgetedObjective,
    Minimisation,
    Stopped,
    largest_magnitude,
    read_only,
    starting_point,
)
from impasto.engine.optimisers.outcome import Budget, Evaluate, Outcome, Step, Vector


@dataclass(frozen=True)
class AdamSettings:
    """How Adam works.

    Args:
        learning_rate: about the largest change of an element of x in one step, in units of x: 5 / 255 is five grey
            levels where x holds pixels in 0..1.
        beta1: decay of the mean gradient, at least 0 and below 1.
        beta2: decay of the mean squared gradient, likewise.
        epsilon: added to the root of the mean squared gradient, as a share of the largest component of the first
            gradient, so that a step does not depend on the units of the loss.
        max_halvings: of one step that leads to values that are not finite, before the run ends.
        bounds: least and largest value of every variable; None is no bounds.

    Raises:
        ValueError: a value is out of its range.
    """

    learning_rate: float = 5 / 255
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_halvings: int = 20
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        checks = {
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
            "beta1": (0 <= self.beta1 < 1, "at least 0 and below 1"),
            "beta2": (0 <= self.beta2 < 1, "at least 0 and below 1"),
            "epsilon": (0 < self.epsilon < math.inf, "above 0"),
            "max_halvings": (self.max_halvings >= 0, "0 or more"),
            "bounds": (self.bounds is None or self.bounds[0] < self.bounds[1], "None or (least, largest)"),
        }
        for name, (valid, allowed) in checks.items():
            if not valid:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {allowed}")


def adam(
    evaluate: Evaluate, x0: Vector, settings: AdamSettings | None = None, budget: Budget | None = None
) -> Minimisation:
    """Minimise with Adam: one evaluation per iteration, and no test that the loss falls.

    A step to where loss or gradient is not finite is taken back and halved. Nothing runs until the result is iterated
    over. Five vectors of the length of x0 are held.

    Args:
        evaluate: the objective.
        x0: where to start, flat float32; it is copied.
        settings: the defaults if None.
        budget: no bound if None.

    Returns:
        The steps to iterate over, the first being the starting point; then ``outcome`` says why they ended.

    Raises:
        ValueError: x0 is not flat float32.
    """
    objective = BudgetedObjective(evaluate, budget or Budget())
    return Minimisation(objective, _Run(objective, starting_point(x0), settings or AdamSettings()).steps())


class _Run:
    """The state of one minimisation. Gradients are multiples of the largest component of the first one."""

    def __init__(self, objective: BudgetedObjective, x: Vector, settings: AdamSettings) -> None:
        self._objective = objective
        self._settings = settings
        self._x, self._trial, self._change = x, np.empty_like(x), np.empty_like(x)
        self._mean, self._mean_square = np.zeros_like(x), np.zeros_like(x)  # m and v

    def steps(self) -> Iterator[Step]:
        """Yield the starting point and each step, until Stopped is raised."""
        self._project(self._x)
        loss, gradient = self._objective(self._x)
        if not math.isfinite(loss):
            raise Stopped(Outcome.NON_FINITE_START)
        scale = 1 / max(largest_magnitude(gradient), float(np.finfo(np.float32).tiny))
        iteration, share = 0, 0.0
        while True:
            yield Step(iteration, self._objective.evaluations, loss, share, partial(read_only, self._x))
            self._objective.check_iterations(iteration)
            iteration += 1
            self._update_moments(gradient, scale)
            self._compute_change(iteration)
            loss, gradient, share = self._move()

    def _update_moments(self, gradient: Vector, scale: float) -> None:
        beta1, beta2, scratch = self._settings.beta1, self._settings.beta2, self._change
        np.multiply(gradient, (1 - beta1) * scale, out=scratch)
        self._mean *= beta1
        self._mean += scratch
        np.multiply(gradient, scale, out=scratch)
        np.square(scratch, out=scratch)
        scratch *= 1 - beta2
        self._mean_square *= beta2
        self._mean_square += scratch

    def _compute_change(self, iteration: int) -> None:
        """Set the change of x to -learning_rate * m_hat / (sqrt(v_hat) + epsilon)."""
        s, change = self._settings, self._change
        np.sqrt(self._mean_square, out=change)
        change *= 1 / math.sqrt(1 - s.beta2**iteration)
        change += s.epsilon
        np.divide(self._mean, change, out=change)
        change *= -s.learning_rate / (1 - s.beta1**iteration)

    def _move(self) -> tuple[float, Vector, float]:
        """Go to where loss and gradient are finite; return them, and the share of the change that led there."""
        for halvings in range(self._settings.max_halvings + 1):
            share = 0.5**halvings
            np.multiply(self._change, share, out=self._trial)
            self._trial += self._x
            self._project(self._trial)
            loss, gradient = self._objective(self._trial)
            if math.isfinite(loss):
                np.copyto(self._x, self._trial)
                return loss, gradient, share
        raise Stopped(Outcome.NON_FINITE_STEP)

    def _project(self, x: Vector) -> None:
        """Bring a point between the bounds, in place."""
        if self._settings.bounds is not None:
            np.clip(x, *self._settings.bounds, out=x)
