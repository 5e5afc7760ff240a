"""Adam over a flat float32 vector (Kingma and Ba, arXiv:1412.6980, algorithm 1), with numpy alone."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np

from impasto.engine.optimisers.solution import (
    Optimiser,
    Outcome,
    Score,
    State,
    Step,
    Vector,
    evaluated,
    largest_magnitude,
    read_only,
    starting_point,
)


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


def adam(x0: Vector, settings: AdamSettings | None = None, state: State | None = None) -> Optimiser:
    """Minimise with Adam: one evaluation per iteration, and no test that the loss falls.

    A step to where loss or gradient is not finite is taken back and halved. Five vectors of the length of x0 are held.

    Args:
        x0: where to start, flat float32; it is copied.
        settings: the defaults if None.
        state: of a step of an earlier run with the same settings. The steps after that one follow, and x0 gives the
            size alone. None begins at x0.

    Returns:
        An optimiser to step, see `impasto.engine.optimisers.solution`.

    Raises:
        ValueError: x0 is not flat float32.
    """
    return _Adam(starting_point(x0), settings or AdamSettings()).steps(state)


class _Adam:
    """The current point and the moments. Gradients are multiples of the largest component of the first one."""

    def __init__(self, x: Vector, settings: AdamSettings) -> None:
        self._settings = settings
        self._x, self._trial, self._change = x, np.empty_like(x), np.empty_like(x)
        self._mean, self._mean_square = np.zeros_like(x), np.zeros_like(x)  # m and v
        self._gradient_scale = 1.0
        self._iteration = self._evaluations = self._evaluations_at_step = 0

    def steps(self, state: State | None) -> Optimiser:
        """Yield points, the starting point as a step, and each step."""
        if state is None:
            self._project(self._x)
            score = yield from self._score(self._x)
            if not math.isfinite(score.loss):
                return Outcome.NON_FINITE_START
            self._gradient_scale = 1 / max(largest_magnitude(score.gradient), float(np.finfo(np.float32).tiny))
            yield self._step(score, 0.0)
        else:
            self._restore(state)
        while True:
            self._compute_change(self._iteration + 1)
            found = yield from self._move()
            if isinstance(found, Outcome):
                return found
            self._iteration += 1
            yield self._step(*found)

    def _score(self, x: Vector) -> Generator[Vector, Score | None, Score]:
        self._evaluations += 1
        return (yield from evaluated(x))

    def _step(self, score: Score, share: float) -> Step:
        """Take the gradient into the moments, and return the step that led to it."""
        self._update_moments(score.gradient, self._gradient_scale)
        self._evaluations_at_step = self._evaluations
        point = partial(read_only, self._x)
        return Step(self._iteration, self._evaluations, score.loss, share, score.terms, point, self._state)

    def _state(self) -> State:
        return {
            "x": self._x.copy(),
            "mean": self._mean.copy(),
            "mean_square": self._mean_square.copy(),
            "counts": np.array([self._iteration, self._evaluations_at_step], np.int64),
            "gradient_scale": np.array(self._gradient_scale),
        }

    def _restore(self, state: State) -> None:
        for own, name in ((self._x, "x"), (self._mean, "mean"), (self._mean_square, "mean_square")):
            np.copyto(own, state[name])
        self._iteration, self._evaluations = (int(count) for count in state["counts"])
        self._evaluations_at_step = self._evaluations
        self._gradient_scale = float(state["gradient_scale"])

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

    def _move(self) -> Generator[Vector, Score | None, tuple[Score, float] | Outcome]:
        """Go to where loss and gradient are finite; return the score there, and the share of the change that led to it.

        What does not lead there ends the run.
        """
        for halvings in range(self._settings.max_halvings + 1):
            share = 0.5**halvings
            np.multiply(self._change, share, out=self._trial)
            self._trial += self._x
            self._project(self._trial)
            score = yield from self._score(self._trial)
            if math.isfinite(score.loss):
                np.copyto(self._x, self._trial)
                return score, share
        return Outcome.NON_FINITE_STEP

    def _project(self, x: Vector) -> None:
        """Bring a point between the bounds, in place."""
        if self._settings.bounds is not None:
            np.clip(x, *self._settings.bounds, out=x)
