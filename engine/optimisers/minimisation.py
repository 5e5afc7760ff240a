"""A minimisation as something to iterate over, and its objective held to a budget."""

import math
from collections.abc import Iterator
from typing import Protocol, Self

import numpy as np

from impasto.engine.optimisers.outcome import Budget, Evaluate, Outcome, Step, Vector


class Stopped(Exception):  # noqa: N818 - a message to the loop, not an error
    """Ends a minimisation from wherever it is."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class Counted(Protocol):
    """Something that counts the objective's runs."""

    evaluations: int


class BudgetedObjective:
    """The objective, counted, checked, and stopped when the budget is spent.

    Attributes:
        evaluations: runs of the objective so far.
    """

    def __init__(self, evaluate: Evaluate, budget: Budget) -> None:
        self._evaluate = evaluate
        self._budget = budget
        self.evaluations = 0

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return loss and gradient at x; the loss is infinite where either holds a value that is not finite.

        Raises:
            Stopped: the budget allows no further evaluation.
            ValueError: the gradient has not the type or shape of x.
        """
        outcome = self._budget.spent(self.evaluations)
        if outcome is not None:
            raise Stopped(outcome)
        self.evaluations += 1
        loss, gradient = self._evaluate(read_only(x))
        if gradient.shape != x.shape or gradient.dtype != x.dtype:
            raise ValueError(
                f"the gradient is {gradient.dtype} {gradient.shape}; it must be {x.dtype} {x.shape}, as x is"
            )
        finite = math.isfinite(loss) and math.isfinite(largest_magnitude(gradient))
        return (float(loss) if finite else math.inf), gradient

    def check_iterations(self, done: int) -> None:
        """Raise Stopped if no further iteration may start after so many."""
        if self._budget.iterations is not None and done >= self._budget.iterations:
            raise Stopped(Outcome.ITERATIONS_DONE)


class Minimisation:
    """Iterate to minimise: each item is an accepted step. Stop early by leaving the loop.

        run = lbfgs(evaluate, x0, budget=Budget(iterations=200))
        for step in run:
            print(step.iteration, step.loss)
        print(run.outcome)

    Attributes:
        last: the latest step, which is the result when the loop has ended; None before the first evaluation,
            and for good where that is not finite.
        outcome: why it ended; None as long as it has not.
    """

    def __init__(self, objective: Counted, steps: Iterator[Step]) -> None:
        self._objective = objective
        self._steps = steps
        self.last: Step | None = None
        self.outcome: Outcome | None = None

    @property
    def evaluations(self) -> int:
        """Runs of the objective so far, also those after the latest step."""
        return self._objective.evaluations

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Step:
        if self.outcome is not None:
            raise StopIteration
        try:
            self.last = next(self._steps)
        except Stopped as stop:
            self.outcome = stop.outcome
            raise StopIteration from None
        return self.last


def starting_point(x0: Vector) -> Vector:
    """Return a copy of x0 to work on.

    Raises:
        ValueError: it is not a flat float32 array with at least one element.
    """
    if x0.dtype != np.float32 or x0.ndim != 1 or not x0.size:
        raise ValueError(f"x0 is {x0.dtype} {x0.shape}; it must be flat float32 with at least one element")
    return np.array(x0, order="C")


def read_only(x: Vector) -> Vector:
    """Return a view that cannot be written to."""
    view = x.view()
    view.flags.writeable = False
    return view


def largest_magnitude(x: Vector) -> float:
    """Return max |x_i| without a temporary array; NaN where x holds a NaN."""
    return float(np.maximum(x.max(), -x.min()))
