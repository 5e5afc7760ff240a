"""L-BFGS over a flat float32 vector (Liu and Nocedal, Mathematical Programming 45, 1989), with numpy alone.

One evaluation gives one iteration nearly always: the search tries the quasi-Newton step itself first, and asks little
of it. No tolerance on the loss or the gradient can end a run early. A search that fails first drops the history and
starts again along the negative gradient; only if that fails too does the run end.

Between bounds the method is a projected one (Bertsekas, SIAM Journal on Control and Optimization 20, 1982): a variable
that lies on a bound and would leave is held, the quasi-Newton step is that of the others, and every trial point is
brought back between the bounds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.curvature import CurvatureHistory
from impasto.engine.optimisers.initial_inverse import InitialInverse, ScalarInverse, SpectralInverse
from impasto.engine.optimisers.line_search import Acceptance, Probe, backtracking, strong_wolfe
from impasto.engine.optimisers.minimisation import (
    BudgetedObjective,
    Minimisation,
    Stopped,
    largest_magnitude,
    read_only,
    starting_point,
)
from impasto.engine.optimisers.outcome import Budget, Evaluate, Outcome, Step, Vector

LineSearch = Literal["backtracking", "strong_wolfe"]

Indices = NDArray[np.intp]

NONE_HELD: Indices = np.empty(0, np.intp)

_LINE_SEARCHES = {"backtracking": backtracking, "strong_wolfe": strong_wolfe}


@dataclass(frozen=True)
class LbfgsSettings:
    """How L-BFGS works.

    Args:
        history_size: curvature pairs kept, 1 or more. Each takes two vectors of memory.
        first_step_mean_change: mean |change| of x tried along the negative gradient, at the start and after the history
            was dropped, in units of x. The default is one grey level where x holds pixels in 0..1.
        line_search: "backtracking" asks for a sufficient decrease, "strong_wolfe" for a flat enough slope too, which
            costs evaluations.
        sufficient_decrease: c1, in 0..1.
        curvature: c2, between c1 and 1; for "strong_wolfe" only.
        loss_noise: relative error of the loss, 0 or more; a step may raise the loss by that much. The default suits a
            loss summed up in float32; a network that runs in bfloat16 needs about 2e-3.
        least_cosine: between the s and y of a curvature pair, 0 or more; a pair with less is left out.
        max_search_evaluations: for one line search, 1 or more.
        image_shape: channels, height and width of the image that x holds; curvature is then told apart by spatial
            frequency and colour (`impasto.engine.optimisers.initial_inverse`). None is one number for all, the textbook's way.
        prior_pairs: what natural images are like counts as so many curvature pairs in that, 0 or more; without
            image_shape it has no effect.
        bounds: least and largest value of every variable; None is no bounds. For "backtracking" only.

    Raises:
        ValueError: a value is out of its range.
    """

    history_size: int = 10
    first_step_mean_change: float = 1 / 255
    line_search: LineSearch = "backtracking"
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9
    loss_noise: float = 1e-5
    least_cosine: float = 1e-8
    max_search_evaluations: int = 25
    image_shape: tuple[int, int, int] | None = None
    prior_pairs: int = 0
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        c1, c2 = self.sufficient_decrease, self.curvature
        checks = {
            "history_size": (self.history_size >= 1, "1 or more"),
            "first_step_mean_change": (0 < self.first_step_mean_change < math.inf, "above 0"),
            "line_search": (self.line_search in _LINE_SEARCHES, " or ".join(_LINE_SEARCHES)),
            "sufficient_decrease": (0 < c1 < 1, "between 0 and 1"),
            "curvature": (c1 < c2 < 1, f"between sufficient_decrease, {c1:g}, and 1"),
            "loss_noise": (0 <= self.loss_noise < 1, "at least 0 and below 1"),
            "least_cosine": (0 <= self.least_cosine < 1, "at least 0 and below 1"),
            "max_search_evaluations": (self.max_search_evaluations >= 1, "1 or more"),
            "prior_pairs": (self.prior_pairs >= 0, "0 or more"),
            "bounds": (self.bounds is None or self.bounds[0] < self.bounds[1], "None or (least, largest)"),
        }
        for name, (valid, allowed) in checks.items():
            if not valid:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {allowed}")
        if self.bounds is not None and self.line_search != "backtracking":
            raise ValueError(f"bounds need line_search 'backtracking', not {self.line_search!r}")


def lbfgs(
    evaluate: Evaluate, x0: Vector, settings: LbfgsSettings | None = None, budget: Budget | None = None
) -> Minimisation:
    """Minimise with L-BFGS.

    Nothing runs until the result is iterated over. Beside the history it holds four vectors of the length of x0.

    Args:
        evaluate: the objective.
        x0: where to start, flat float32; it is copied, and brought between the bounds.
        settings: the defaults if None.
        budget: no bound if None.

    Returns:
        The steps to iterate over, the first being the starting point; then ``outcome`` says why they ended.

    Raises:
        ValueError: x0 is not flat float32, or not of the image's size.
    """
    shape = settings.image_shape if settings else None
    if shape is not None and math.prod(shape) != x0.size:
        raise ValueError(f"x0 has {x0.size} values; an image of {shape} has {math.prod(shape)}")
    objective = BudgetedObjective(evaluate, budget or Budget())
    return Minimisation(objective, _Run(objective, starting_point(x0), settings or LbfgsSettings()).steps())


class _Run:
    """The state of one minimisation: the current point, its gradient, and the buffers of the step under way.

    Gradients are kept as multiples of the largest component of the first one, so that inner products in float32
    neither overflow nor vanish whatever the units of the loss.
    """

    def __init__(self, objective: BudgetedObjective, x: Vector, settings: LbfgsSettings) -> None:
        self._objective = objective
        self._settings = settings
        self._search_line = _LINE_SEARCHES[settings.line_search]
        self._acceptance = Acceptance(
            sufficient_decrease=settings.sufficient_decrease,
            curvature=settings.curvature,
            loss_noise=settings.loss_noise,
            max_evaluations=settings.max_search_evaluations,
        )
        shape = settings.image_shape
        initial: InitialInverse = ScalarInverse() if shape is None else SpectralInverse(shape, settings.prior_pairs)
        self._history = CurvatureHistory(settings.history_size, x.size, initial)
        self._x = x
        self._gradient, self._direction, self._trial = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        self._trial_gradient = self._gradient  # the objective's own buffer once it has run
        self._gradient_scale = 1.0
        self._loss = math.inf

    def steps(self) -> Iterator[Step]:
        """Yield the starting point and each accepted step, until Stopped is raised."""
        self._start()
        iteration, step_size = 0, 0.0
        while True:
            evaluations = self._objective.evaluations
            yield Step(iteration, evaluations, self._loss, step_size, partial(read_only, self._x))
            self._objective.check_iterations(iteration)
            probe = self._search()
            self._accept(probe)
            iteration, step_size = iteration + 1, probe.step_size

    def _start(self) -> None:
        self._project(self._x)
        self._loss, gradient = self._objective(self._x)
        if not math.isfinite(self._loss):
            raise Stopped(Outcome.NON_FINITE_START)
        self._gradient_scale = 1 / max(largest_magnitude(gradient), float(np.finfo(np.float32).tiny))
        np.multiply(gradient, self._gradient_scale, out=self._gradient)

    def _search(self) -> Probe:
        """Find a step along the quasi-Newton direction or, where that fails, along the negative gradient."""
        held = self._held()
        if len(self._history):
            self._history.direction(self._gradient, out=self._direction, held=held)
            self._direction[held] = 0
            found = self._search_along_direction()
            if isinstance(found, Probe):
                return found
            self._history.clear()
        self._descend_steepest(held)
        found = self._search_along_direction()
        if isinstance(found, Outcome):
            raise Stopped(found)
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

    def _project(self, x: Vector) -> None:
        """Bring a point between the bounds, in place."""
        if self._settings.bounds is not None:
            np.clip(x, *self._settings.bounds, out=x)

    def _search_along_direction(self) -> Probe | Outcome:
        slope = float(np.dot(self._direction, self._gradient)) / self._gradient_scale
        if not -math.inf < slope < 0:
            return Outcome.STATIONARY
        return self._search_line(self._probe, Probe(0.0, self._loss, slope), self._acceptance)

    def _probe(self, step_size: float) -> Probe | None:
        """Evaluate x + step_size * direction, unless it is x."""
        np.multiply(self._direction, step_size, out=self._trial)
        self._trial += self._x
        self._project(self._trial)
        if _equal(self._trial, self._x):
            return None
        loss, self._trial_gradient = self._objective(self._trial)
        slope = float(np.dot(self._direction, self._trial_gradient)) if math.isfinite(loss) else math.nan
        return Probe(step_size, loss, slope)

    def _accept(self, probe: Probe) -> None:
        """Move to the trial point and learn from the way there.

        The direction and the trial point are no longer needed, so that their buffers hold s and y.
        """
        s = np.subtract(self._trial, self._x, out=self._direction)
        np.copyto(self._x, self._trial)
        y = np.multiply(self._trial_gradient, self._gradient_scale, out=self._trial)
        y -= self._gradient
        np.multiply(self._trial_gradient, self._gradient_scale, out=self._gradient)
        self._history.advance(s, y, self._gradient, least_cosine=self._settings.least_cosine)
        self._loss = probe.loss


def _equal(a: Vector, b: Vector, block: int = 1 << 14) -> bool:
    """Whether two vectors are equal; fast where they differ early."""
    return all(np.array_equal(a[i : i + block], b[i : i + block]) for i in range(0, a.size, block))
