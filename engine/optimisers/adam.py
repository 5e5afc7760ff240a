"""Adam over a flat float32 vector (Kingma and Ba, arXiv:1412.6980, algorithm 1), with numpy alone."""

import math
from dataclasses import dataclass

import numpy as np

from impasto.engine.optimisers.base import Advance, Bounds, Descent, check_ranges
from impasto.engine.optimisers.solution import Optimiser, Outcome, Score, State, Vector, restore_array


@dataclass(frozen=True)
class AdamSettings:
    """How Adam works.

    Args:
        learning_rate: about the largest change of an element of x in one step, in units of x: 5 / 255 is five grey
            levels where x holds pixels in 0..1.
        beta1: decay of the mean gradient, at least 0 and below 1.
        beta2: decay of the mean squared gradient, at least 0 and below 1.
        epsilon: added to the root of the mean squared gradient, as a share of the largest component of the first
            gradient, so that a step does not depend on the units of the loss.
        max_halvings: how often a step is halved whose loss or gradient is not finite, before the run ends.
        bounds: least and largest value of every variable; None is no bounds.
        average: decay of the exponential moving average that is the point of every step, at least 0 and below 1; 0 is
            no average, and the point is the iterate.

    Raises:
        ValueError: a value is out of its range.
    """

    learning_rate: float = 5 / 255
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_halvings: int = 20
    bounds: Bounds | None = None
    average: float = 0.0

    def __post_init__(self) -> None:
        checks = {
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
            "beta1": (0 <= self.beta1 < 1, "at least 0 and below 1"),
            "beta2": (0 <= self.beta2 < 1, "at least 0 and below 1"),
            "epsilon": (0 < self.epsilon < math.inf, "above 0"),
            "max_halvings": (self.max_halvings >= 0, "0 or more"),
            "average": (0 <= self.average < 1, "at least 0 and below 1"),
            "bounds": (self.bounds is None or self.bounds[0] < self.bounds[1], "None or (least, largest)"),
        }
        check_ranges(self, checks)


def adam(x0: Vector, settings: AdamSettings | None = None, state: State | None = None) -> Optimiser:
    """Minimise with Adam: one evaluation per iteration, and no test that the loss falls.

    A step to a point where the loss or the gradient is not finite is taken back and halved. Adam holds five vectors of
    the length of x0, and with an average six.

    The average is bias-corrected as the moments are (section 7.2 of the paper): after the n iterates x_1, which is x0,
    to x_n it is a_n = (1 - D) / (1 - D^n) sum_i D^(n - i) x_i with the decay D. The losses of the steps and their terms
    remain those of the iterates.

    Args:
        x0: where to start, flat float32; it is copied, and brought between the bounds.
        settings: the defaults if None.
        state: of a step of an earlier run with the same settings. The run resumes after that step, and x0 gives the
            size alone. None begins at x0.

    Returns:
        An optimiser to step, see `impasto.engine.optimisers.solution`.

    Raises:
        ValueError: x0 is not flat float32.
        StateError: the state is not of such a run.
    """
    return _Adam(x0, settings or AdamSettings()).steps(state)


class _Adam(Descent):
    """The moments of the gradient, the change of x under way, and the average of x where there is one."""

    def __init__(self, x0: Vector, settings: AdamSettings) -> None:
        super().__init__(x0, settings.bounds)
        self._settings = settings
        self._change = np.empty_like(self._x)
        self._mean, self._mean_square = np.zeros_like(self._x), np.zeros_like(self._x)  # m and v
        self._average = np.empty_like(self._x) if settings.average else None

    def _start(self, score: Score) -> None:
        self._update_moments(score.gradient)
        self._update_average(1)

    def _advance(self) -> Advance:
        """Go to the nearest of the halved steps whose loss and gradient are finite; return its share of the change."""
        self._compute_change(self._iteration + 1)
        for halvings in range(self._settings.max_halvings + 1):
            share = 0.5**halvings
            np.multiply(self._change, share, out=self._trial)
            self._trial += self._x
            self._project(self._trial)
            score = yield from self._score(self._trial)
            if math.isfinite(score.loss):
                np.copyto(self._x, self._trial)
                self._update_moments(score.gradient)
                self._update_average(self._iteration + 2)  # iteration 0 is the first iterate, and this the next one
                return share, score
        return Outcome.NON_FINITE_STEP

    def _point(self) -> Vector:
        return self._x if self._average is None else self._average

    def _state(self) -> State:
        iterate = {} if self._average is None else {"iterate": self._x.copy()}
        return super()._state() | {"mean": self._mean.copy(), "mean_square": self._mean_square.copy()} | iterate

    def _restore(self, state: State) -> None:
        super()._restore(state)
        if self._average is not None:
            np.copyto(self._average, self._x)
            restore_array(self._x, state, "iterate")
        restore_array(self._mean, state, "mean")
        restore_array(self._mean_square, state, "mean_square")

    def _update_moments(self, gradient: Vector) -> None:
        beta1, beta2, scale, scratch = self._settings.beta1, self._settings.beta2, self._gradient_scale, self._change
        np.multiply(gradient, (1 - beta1) * scale, out=scratch)
        self._mean *= beta1
        self._mean += scratch
        np.multiply(gradient, scale, out=scratch)
        np.square(scratch, out=scratch)
        scratch *= 1 - beta2
        self._mean_square *= beta2
        self._mean_square += scratch

    def _update_average(self, count: int) -> None:
        """Include the latest of so many iterates: a_n = a_(n-1) + (1 - D) / (1 - D^n) (x_n - a_(n-1))."""
        decay, average, scratch = self._settings.average, self._average, self._change
        if average is None:
            return
        if count == 1:
            np.copyto(average, self._x)
            return
        np.subtract(self._x, average, out=scratch)
        scratch *= (1 - decay) / (1 - decay**count)
        average += scratch
        self._project(average)  # rounding may leave the bounds

    def _compute_change(self, iteration: int) -> None:
        """Set the change of x to -learning_rate * m_hat / (sqrt(v_hat) + epsilon)."""
        s, change = self._settings, self._change
        np.sqrt(self._mean_square, out=change)
        change *= 1 / math.sqrt(1 - s.beta2**iteration)
        change += s.epsilon
        np.divide(self._mean, change, out=change)
        change *= -s.learning_rate / (1 - s.beta1**iteration)
