"""What every optimiser yields and is sent, what bounds it, and how it can end.

An optimiser is a generator that its caller steps:

- it yields a point, and is sent the `Score` of that point;
- it yields a `Step` for each point that it accepts, the starting point included, and is sent nothing;
- it returns the `Outcome` that ended it. To stop it earlier, the caller closes it.

An optimiser that resumes from the state of a step yields the steps after that one.

`minimise` steps one optimiser with a function. The engine steps many, and evaluates their points together.
"""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""A flat float32 array."""

State = dict[str, NDArray[Any]]
"""All that an optimiser needs to continue from its latest step, as arrays by name.

Its ``counts`` are the iterations and evaluations of that step.
"""


@dataclass(frozen=True)
class Score:
    """The value of one point.

    Attributes:
        loss: the total.
        gradient: d loss / d point, flat float32 of the point's length; valid until the next evaluation.
        terms: the weighted terms that add up to the loss, by name.
    """

    loss: float
    gradient: Vector
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One accepted iteration; iteration 0 is the starting point.

    Attributes:
        iteration: accepted steps so far.
        evaluations: points that were evaluated so far, rejected ones included.
        loss: at the accepted point.
        step_size: the multiple of the search direction that was taken; 0 at the starting point.
        terms: of the loss, by name.
        point: returns the accepted point.
        state: returns a copy of all that the optimiser needs to continue from here. Call it before the next step is
            yielded; it may be called while that step is searched, and after the optimiser has ended.
    """

    iteration: int
    evaluations: int
    loss: float
    step_size: float
    terms: Mapping[str, float]
    point: Callable[[], Vector]
    state: Callable[[], State]

    @property
    def x(self) -> Vector:
        """The accepted point, flat and read-only. The next step overwrites it, so copy it to keep it.

        An optimiser that works in another memory fetches the latest point from there.
        """
        return self.point()


class Outcome(Enum):
    """Why a minimisation ended. The value is a stable name for machines, ``message`` a sentence for people."""

    ITERATIONS_DONE = "iterations_done", "all iterations of the budget are done"
    EVALUATIONS_DONE = "evaluations_done", "all evaluations of the budget are done"
    DEADLINE = "deadline", "the deadline passed"
    CANCELLED = "cancelled", "it was cancelled"
    STATIONARY = "stationary", "the gradient is zero, or too small for any float32 step along it to lower the loss"
    LINE_SEARCH_STALLED = "line_search_stalled", "no step tried lowers the loss, not even along the negative gradient"
    NON_FINITE_START = "non_finite_start", "the loss or its gradient is not finite at the starting point"
    NON_FINITE_STEP = "non_finite_step", "the loss or its gradient is not finite after even the shortest step tried"

    message: str

    def __new__(cls, value: str, message: str) -> Self:
        """Make a member of a name and a sentence."""
        self = object.__new__(cls)
        self._value_, self.message = value, message
        return self


Optimiser = Generator[Vector | Step, Score | None, Outcome]
Evaluate = Callable[[Vector], Score]


@dataclass(frozen=True)
class Budget:
    """When to stop. A limit that is None does not apply. The limits are checked before each evaluation.

    Args:
        iterations: accepted steps at most, 0 or more; 0 evaluates the starting point only.
        evaluations: runs of the objective at most, 1 or more; never exceeded.
        deadline: a reading of ``clock`` after which no evaluation starts.
        cancelled: called before each evaluation; True stops.
        clock: returns seconds that only increase.

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
        """Return why no evaluation may start after this many; None if one may."""
        if self.evaluations is not None and evaluations >= self.evaluations:
            return Outcome.EVALUATIONS_DONE
        if self.cancelled is not None and self.cancelled():
            return Outcome.CANCELLED
        if self.deadline is not None and self.clock() >= self.deadline:
            return Outcome.DEADLINE
        return None

    def allows_iteration_after(self, iterations: int) -> bool:
        """Return whether another iteration may start after this many; -1 is before the starting point."""
        return self.iterations is None or iterations < self.iterations


class Minimisation:
    """Iterate to minimise: each item is an accepted step, the first the starting point. Leave the loop to stop early.

        run = minimise(lbfgs(x0), evaluate, Budget(iterations=200))
        for step in run:
            print(step.iteration, step.loss)
        print(run.outcome)

    Args:
        optimiser: from `lbfgs` or `adam`.
        evaluate: returns the score of a point. The point is the optimiser's own: read it during the call only.
        budget: when to stop; no limit if None.
        state: that the optimiser resumes from, if it does: the budget then includes what was done before.

    Attributes:
        last: the latest step, which is the result when the loop has ended; None before the first evaluation, and for
            good where the starting point is not finite.
        outcome: why it ended; None while it has not.
        evaluations: runs of the objective so far, those after the latest step and before a resume included.
    """

    def __init__(
        self, optimiser: Optimiser, evaluate: Evaluate, budget: Budget | None = None, state: State | None = None
    ) -> None:
        self.last: Step | None = None
        self.outcome: Outcome | None = None
        self._iteration, self.evaluations = (-1, 0) if state is None else counts_of(state)
        self._optimiser, self._evaluate, self._budget = optimiser, evaluate, budget or Budget()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Step:
        reply: Score | None = None
        if not self._budget.allows_iteration_after(self._iteration):
            self._end(Outcome.ITERATIONS_DONE)
        while self.outcome is None:
            try:
                request = self._optimiser.send(reply)
            except StopIteration as end:
                self.outcome = end.value
                break
            if isinstance(request, Step):
                self.last, self._iteration = request, request.iteration
                return request
            spent = self._budget.spent(self.evaluations)
            if spent is not None:
                self._end(spent)
                break
            self.evaluations += 1
            reply = self._evaluate(request)
        raise StopIteration

    def _end(self, outcome: Outcome) -> None:
        self._optimiser.close()
        self.outcome = outcome


minimise = Minimisation
"""Step one optimiser with a function."""


def counts_of(state: State) -> tuple[int, int]:
    """Return the iterations and evaluations of the step that a state is of.

    Raises:
        StateError: they are missing, or no counts.
    """
    counts = np.zeros(2, np.int64)
    restore_array(counts, state, "counts")
    iterations, evaluations = (int(count) for count in counts)
    if not 0 <= iterations < evaluations:
        raise StateError(f"counts are {iterations} iterations and {evaluations} evaluations")
    return iterations, evaluations


class StateError(ValueError):
    """A state that an optimiser cannot resume from."""


def restore_array(target: NDArray[Any], state: State, name: str) -> None:
    """Copy an array of a state into one of the same shape and type.

    Raises:
        StateError: it is missing, of another shape or type, or not finite.
    """
    array = state.get(name)
    if array is None:
        raise StateError(f"{name} is missing")
    if array.shape != target.shape or array.dtype != target.dtype:
        raise StateError(f"{name} is {array.dtype} {array.shape}; it must be {target.dtype} {target.shape}")
    if not np.isfinite(array).all():
        raise StateError(f"{name} is not finite")
    np.copyto(target, array)


def restored_number(state: State, name: str, dtype: type[np.number[Any]] = np.float64) -> Any:
    """Return a number that a state holds as an array without axes.

    Raises:
        StateError: as `restore_array`.
    """
    number = np.zeros((), dtype)
    restore_array(number, state, name)
    return number[()]


def read_only(x: Vector) -> Vector:
    """Return a view that cannot be written to."""
    view = x.view()
    view.flags.writeable = False
    return view
