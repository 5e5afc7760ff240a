"""L-BFGS over a flat float32 vector (Liu and Nocedal, Mathematical Programming 45, 1989), with numpy alone.

One evaluation nearly always gives one iteration: the search tries the quasi-Newton step itself first, and accepts it if
the loss falls a little. No tolerance on the loss or the gradient can end a run early. Where a search fails, another one
follows along the negative gradient; if it succeeds the history is dropped, and if it fails too the run ends.

Between bounds the method is a projected one (Bertsekas, SIAM Journal on Control and Optimization 20, 1982): a variable
that lies on a bound and would leave is held, the quasi-Newton step is that of the others, and every trial point is
brought back between the bounds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.base import Advance, Bounds, Descent, check_ranges
from impasto.engine.optimisers.curvature import CurvatureHistory
from impasto.engine.optimisers.initial_inverse import InitialInverse, ScalarInverse, SpectralInverse
from impasto.engine.optimisers.line_search import Acceptance, Probe, Probing, Search, backtracking
from impasto.engine.optimisers.solution import (
    Optimiser,
    Outcome,
    Score,
    State,
    Vector,
    restore_array,
    restored_number,
)

Indices = NDArray[np.intp]

NONE_HELD: Indices = np.empty(0, np.intp)


@dataclass(frozen=True)
class LbfgsSettings:
    """How L-BFGS works.

    Args:
        history_size: curvature pairs kept, 1 or more. Each takes two vectors of memory.
        first_step_mean_change: mean |change| of x tried along the negative gradient, at the start and after the history
            was dropped, in units of x. The default is one grey level where x holds pixels in 0..1.
        sufficient_decrease: c1, in 0..1.
        loss_noise: relative error of the loss, 0 or more; a step may raise the loss by that much. The default suits a
            loss summed up in float32; a network that runs in bfloat16 needs about 2e-3.
        least_cosine: between the s and y of a curvature pair, 0 or more; a pair with less is left out.
        max_search_evaluations: for one line search, 1 or more.
        image_shape: channels, height and width of the image that x holds; the initial inverse Hessian then has a factor
            for every band of spatial frequencies and colour (`impasto.engine.optimisers.initial_inverse`). With None it
            has one factor for all variables, as in the textbook.
        prior_pairs: how many curvature pairs the spectrum of natural images counts as in those factors, 0 or more;
            without image_shape it has no effect.
        bounds: least and largest value of every variable; None is no bounds.

    Raises:
        ValueError: a value is out of its range.
    """

    history_size: int = 10
    first_step_mean_change: float = 1 / 255
    sufficient_decrease: float = 1e-4
    loss_noise: float = 1e-5
    least_cosine: float = 1e-8
    max_search_evaluations: int = 25
    image_shape: tuple[int, int, int] | None = None
    prior_pairs: int = 0
    bounds: Bounds | None = None

    def __post_init__(self) -> None:
        checks = {
            "history_size": (self.history_size >= 1, "1 or more"),
            "first_step_mean_change": (0 < self.first_step_mean_change < math.inf, "above 0"),
            "sufficient_decrease": (0 < self.sufficient_decrease < 1, "between 0 and 1"),
            "loss_noise": (0 <= self.loss_noise < 1, "at least 0 and below 1"),
            "least_cosine": (0 <= self.least_cosine < 1, "at least 0 and below 1"),
            "max_search_evaluations": (self.max_search_evaluations >= 1, "1 or more"),
            "prior_pairs": (self.prior_pairs >= 0, "0 or more"),
            "bounds": (self.bounds is None or self.bounds[0] < self.bounds[1], "None or (least, largest)"),
        }
        check_ranges(self, checks)


def lbfgs(x0: Vector, settings: LbfgsSettings | None = None, state: State | None = None) -> Optimiser:
    """Minimise with L-BFGS.

    Next to the history it holds four vectors of the length of x0.

    Args:
        x0: where to start, flat float32; it is copied, and brought between the bounds.
        settings: the defaults if None.
        state: of a step of an earlier run with the same settings. The run resumes after that step, and x0 gives the
            size alone. None begins at x0.

    Returns:
        An optimiser to step, see `impasto.engine.optimisers.solution`.

    Raises:
        ValueError: x0 is not flat float32, or not of the image's size.
        StateError: the state is not of such a run.
    """
    shape = settings.image_shape if settings else None
    if shape is not None and math.prod(shape) != x0.size:
        raise ValueError(f"x0 has {x0.size} values; an image of {shape} has {math.prod(shape)}")
    return _Lbfgs(x0, settings or LbfgsSettings()).steps(state)


class _Lbfgs(Descent):
    """The loss and gradient at the current point, the curvature history, and the buffers of the step under way."""

    def __init__(self, x0: Vector, settings: LbfgsSettings) -> None:
        super().__init__(x0, settings.bounds)
        self._settings = settings
        self._acceptance = Acceptance(
            sufficient_decrease=settings.sufficient_decrease,
            loss_noise=settings.loss_noise,
            max_evaluations=settings.max_search_evaluations,
        )
        shape = settings.image_shape
        initial: InitialInverse = ScalarInverse() if shape is None else SpectralInverse(shape, settings.prior_pairs)
        self._history = CurvatureHistory(settings.history_size, self._x.size, initial)
        self._loss = math.inf
        self._gradient, self._direction = np.empty_like(self._x), np.empty_like(self._x)
        self._trial_score = Score(math.inf, self._gradient)

    def _start(self, score: Score) -> None:
        self._loss = score.loss
        np.multiply(score.gradient, self._gradient_scale, out=self._gradient)

    def _advance(self) -> Advance:
        found = yield from self._search()
        if isinstance(found, Outcome):
            return found
        self._accept(self._trial_score)
        return found.step_size, self._trial_score

    def _state(self) -> State:
        own = {"gradient": self._gradient.copy(), "loss": np.array(self._loss)}
        return super()._state() | own | self._history.state()

    def _restore(self, state: State) -> None:
        super()._restore(state)
        restore_array(self._gradient, state, "gradient")
        self._loss = float(restored_number(state, "loss"))
        self._history.restore(state)

    def _search(self) -> Search:
        """Find a step along the quasi-Newton direction or, where that fails, along the negative gradient.

        A failure drops the history, but only after a step has been found without it: until then `_state` includes it.
        """
        held = self._held()
        if len(self._history):
            self._history.direction(self._gradient, out=self._direction, held=held)
            self._direction[held] = 0
            found = yield from self._search_along_direction()
            if isinstance(found, Probe):
                return found
        self._descend_steepest(held)
        found = yield from self._search_along_direction()
        if isinstance(found, Probe):
            self._history.clear()
        return found

    def _descend_steepest(self, held: Indices) -> None:
        """Point the direction along the negative gradient, scaled so that step 1 is the first step."""
        mean = float(np.abs(self._gradient, out=self._trial).mean())
        factor = self._settings.first_step_mean_change / mean if mean else 0.0
        np.multiply(self._gradient, -factor, out=self._direction)
        self._direction[held] = 0

    def _held(self) -> Indices:
        """Return the variables that lie on a bound and would leave along the negative gradient."""
        if self._settings.bounds is None:
            return NONE_HELD
        least, largest = self._settings.bounds
        leaving = (self._x <= least) & (self._gradient > 0)
        leaving |= (self._x >= largest) & (self._gradient < 0)
        return np.flatnonzero(leaving)

    def _search_along_direction(self) -> Search:
        slope = float(np.dot(self._direction, self._gradient)) / self._gradient_scale
        if not -math.inf < slope < 0:
            return Outcome.STATIONARY
        return (yield from backtracking(self._probe, Probe(0.0, self._loss, slope), self._acceptance))

    def _probe(self, step_size: float) -> Probing:
        """Evaluate x + step_size * direction, unless it is x."""
        np.multiply(self._direction, step_size, out=self._trial)
        self._trial += self._x
        self._project(self._trial)
        if _equal(self._trial, self._x):
            return None
        score = self._trial_score = yield from self._score(self._trial)
        slope = float(np.dot(self._direction, score.gradient)) if math.isfinite(score.loss) else math.nan
        return Probe(step_size, score.loss, slope)

    def _accept(self, score: Score) -> None:
        """Move to the trial point, whose score this is, and learn from the changes of x and the gradient.

        The direction and the trial point are no longer needed: their buffers take s and y.
        """
        gradient = score.gradient
        s = np.subtract(self._trial, self._x, out=self._direction)
        np.copyto(self._x, self._trial)
        y = np.multiply(gradient, self._gradient_scale, out=self._trial)
        y -= self._gradient
        np.multiply(gradient, self._gradient_scale, out=self._gradient)
        self._history.advance(s, y, self._gradient, least_cosine=self._settings.least_cosine)
        self._loss = score.loss


def _equal(a: Vector, b: Vector, block: int = 1 << 14) -> bool:
    """Return whether two vectors are equal; fast where they differ early."""
    return all(np.array_equal(a[i : i + block], b[i : i + block]) for i in range(0, a.size, block))
