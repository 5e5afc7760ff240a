"""What bounds a minimisation, what it reports after each step, and how it can end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""A flat float32 array."""

Evaluate = Callable[[Vector], tuple[float, Vector]]
"""The objective: x -> (loss, gradient).

x is read-only and the optimiser's own: read it during the call only. The gradient is flat float32 of the length of x;
the optimiser takes what it needs before the next call, so that the function may reuse one buffer.
"""


class Outcome(Enum):
    """Why a minimisation ended. The value is a stable name for machines, ``message`` a sentence for people."""

    ITERATIONS_DONE = "iterations_done"
    EVALUATIONS_DONE = "evaluations_done"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    STATIONARY = "stationary"
    LINE_SEARCH_STALLED = "line_search_stalled"
    NON_FINITE_START = "non_finite_start"
    NON_FINITE_STEP = "non_finite_step"

    @property
    def message(self) -> str:
        """One sentence on what happened."""
        return _MESSAGES[self]


_MESSAGES = {
    Outcome.ITERATIONS_DONE: "all iterations of the budget are done",
    Outcome.EVALUATIONS_DONE: "all evaluations of the budget are done",
    Outcome.DEADLINE: "the deadline passed",
    Outcome.CANCELLED: "it was cancelled",
    Outcome.STATIONARY: "the gradient is zero, or too small for any float32 step along it to lower the loss",
    Outcome.LINE_SEARCH_STALLED: "no step tried lowers the loss, not even along the negative gradient",
    Outcome.NON_FINITE_START: "the loss or its gradient is not finite at the starting point",
    Outcome.NON_FINITE_STEP: "the loss or its gradient is not finite after even the shortest step tried",
}


@dataclass(frozen=True)
class Budget:
    """When to stop. Whatever is None does not bound; the checks come before each evaluation.

    Args:
        iterations: accepted steps at most, 0 or more; 0 evaluates the starting point only.
        evaluations: runs of the objective at most, 1 or more; never exceeded.
        deadline: a reading of ``clock`` after which no evaluation starts.
        cancelled: asked before each evaluation; True stops.
        clock: seconds that only go forward.

    Raises:
        ValueError: a count is out of range.
    """

    iterations: int | None = None
    evaluations: int | None = None
    deadline: float | None = None
    cancelled: Callable[[], bool] | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if self.iterations is not None and self.iterations < 0:
            raise ValueError(f"iterations is {self.iterations}; it must be 0 or more, or None")
        if self.evaluations is not None and self.evaluations < 1:
            raise ValueError(f"evaluations is {self.evaluations}; it must be 1 or more, or None")

    def spent(self, evaluations: int) -> Outcome | None:
        """Say why no further evaluation may start after so many, or None if one may."""
        if self.evaluations is not None and evaluations >= self.evaluations:
            return Outcome.EVALUATIONS_DONE
        if self.cancelled is not None and self.cancelled():
            return Outcome.CANCELLED
        if self.deadline is not None and self.clock() >= self.deadline:
            return Outcome.DEADLINE
        return None


@dataclass(frozen=True)
class Step:
    """One accepted iteration; iteration 0 is the starting point.

    Args:
        iteration: accepted steps so far.
        evaluations: runs of the objective so far, those of rejected trial points included.
        loss: at x.
        step_size: the multiple of the search direction that was taken; 0 at the starting point.
        point: gives x.
    """

    iteration: int
    evaluations: int
    loss: float
    step_size: float
    point: Callable[[], Vector]

    @property
    def x(self) -> Vector:
        """The current point, flat and read-only; the next step overwrites it, so copy what must last.

        It may have to be fetched from another memory, where the optimiser may already be further.
        """
        return self.point()
