"""What L-BFGS and Adam share: the start, the current point and its bounds, the counts, and how to resume."""

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from impasto.engine.optimisers.solution import (
    Optimiser,
    Outcome,
    Score,
    State,
    Step,
    Vector,
    counts_of,
    read_only,
    restore_array,
    restored_number,
)

Bounds = tuple[float, float]
"""Least and largest value of every variable."""

Scoring = Generator[Vector, Score | None, Score]
"""Yields a point, is sent its score, and returns that score checked."""

Advance = Generator[Vector, Score | None, tuple[float, Score] | Outcome]
"""Yields trial points; returns the step size and score of the accepted one, or why there is none."""


def check_ranges(settings: object, checks: Mapping[str, tuple[bool, str]]) -> None:
    """Refuse settings that are out of range; the checks say whether a name's value is valid, and what is allowed.

    Raises:
        ValueError: a value is not valid.
    """
    for name, (valid, allowed) in checks.items():
        if not valid:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must be {allowed}")


class Descent(ABC):
    """A point that moves downhill between bounds; iterations and evaluations are counted.

    A subclass multiplies gradients by `_gradient_scale`, so that the largest component of the first one becomes 1.
    Inner products and squares in float32 then neither overflow nor vanish, whatever the units of the loss.

    A subclass changes its state only after it has found the next point. A state that is taken while the next point is
    being searched is therefore still that of the latest step.
    """

    def __init__(self, x0: Vector, bounds: Bounds | None) -> None:
        if x0.dtype != np.float32 or x0.ndim != 1 or not x0.size:
            raise ValueError(f"x0 is {x0.dtype} {x0.shape}; it must be flat float32 with at least one element")
        self._x, self._bounds = np.array(x0, order="C"), bounds
        self._trial = np.empty_like(self._x)
        self._gradient_scale = 1.0
        self._iteration = self._evaluations = self._evaluations_at_step = 0

    def steps(self, state: State | None) -> Optimiser:
        """Yield points to score, the starting point as a step, and each accepted step; or resume after a state.

        Raises:
            StateError: the state is not of such a run; this is known before the first point.
        """
        if state is not None:
            self._restore(state)
        return self._steps(resumed=state is not None)

    def _steps(self, *, resumed: bool) -> Optimiser:
        if not resumed:
            self._project(self._x)
            score = yield from self._score(self._x)
            if not math.isfinite(score.loss):
                return Outcome.NON_FINITE_START
            self._gradient_scale = 1 / max(_largest_magnitude(score.gradient), float(np.finfo(np.float32).tiny))
            self._start(score)
            yield self._step(0.0, score)
        while True:
            found = yield from self._advance()
            if isinstance(found, Outcome):
                return found
            self._iteration += 1
            yield self._step(*found)

    @abstractmethod
    def _start(self, score: Score) -> None:
        """Learn from the score of the starting point."""

    @abstractmethod
    def _advance(self) -> Advance:
        """Move to the next point and learn from its score."""

    def _point(self) -> Vector:
        """Return the vector that holds the point of every step."""
        return self._x

    def _state(self) -> State:
        """Return copies of the point and the counts at the latest step; subclasses add what they have learnt."""
        return {
            "x": self._point().copy(),
            "counts": np.array([self._iteration, self._evaluations_at_step], np.int64),
            "gradient_scale": np.array(self._gradient_scale),
        }

    def _restore(self, state: State) -> None:
        """Continue from what `_state` returned; subclasses restore what they have learnt."""
        restore_array(self._x, state, "x")
        self._iteration, self._evaluations = counts_of(state)
        self._evaluations_at_step = self._evaluations
        self._gradient_scale = float(restored_number(state, "gradient_scale"))

    def _step(self, step_size: float, score: Score) -> Step:
        self._evaluations_at_step = self._evaluations
        return Step(
            iteration=self._iteration,
            evaluations=self._evaluations,
            loss=score.loss,
            step_size=step_size,
            terms=score.terms,
            point=partial(read_only, self._point()),
            state=self._state,
        )

    def _score(self, x: Vector) -> Scoring:
        """Yield a point and return its score; the loss is infinite if it or the gradient is not finite.

        Raises:
            ValueError: there is no score, or its gradient has not the type or shape of the point.
        """
        self._evaluations += 1
        score = yield read_only(x)
        if score is None:
            raise ValueError("an optimiser that yields a point must be sent its Score")
        gradient = score.gradient
        if gradient.shape != x.shape or gradient.dtype != x.dtype:
            raise ValueError(
                f"the gradient is {gradient.dtype} {gradient.shape}; it must be {x.dtype} {x.shape}, as x is"
            )
        finite = math.isfinite(score.loss) and math.isfinite(_largest_magnitude(gradient))
        return replace(score, loss=float(score.loss) if finite else math.inf)  # a NumPy float32 would round sums

    def _project(self, x: Vector) -> None:
        """Bring a point between the bounds, in place."""
        if self._bounds is not None:
            np.clip(x, *self._bounds, out=x)


def _largest_magnitude(x: Vector) -> float:
    """Return max |x_i| without a temporary array; NaN where x holds a NaN."""
    return float(np.maximum(x.max(), -x.min()))
