"""L-BFGS with every vector in the provider's memory: the host starts the steps and reads a log."""

import math
from collections.abc import Callable, Generator, Sequence

from impasto.engine.device.places import Rows, Steps
from impasto.engine.optimisers.solution import Outcome, State, Step, Vector, read_only
from impasto.engine.runtime import loss_scaling
from impasto.export.optimiser import REPORTED, Code
from impasto.models.errors import ImpastoError


def device_lbfgs(
    terms: Sequence[str],
    point: Callable[[], Vector],
    state: Callable[[], State],
    *,
    every: int,
    evaluations: int | None = None,
    done: int = -1,
    counted: int = 0,
    provider: str = "",
) -> Generator[Steps | Step, Rows | None, Outcome]:
    """Follow L-BFGS on the device, step for step within rounding as `impasto.engine.optimisers.lbfgs.lbfgs`.

    The image has entered a place of a loop already. Instead of points this optimiser yields `Steps`, and is sent the
    rows that the device logged. The ``x`` of a `Step` is that of the latest one.

    Args:
        terms: their names, in the order of the log's columns.
        point: fetches the latest accepted image, flat.
        state: fetches all that the device needs to continue.
        every: number of evaluations after which the host reads the log.
        evaluations: maximum number of evaluations; None is no limit.
        done: latest iteration of the place so far; -1 before the first.
        counted: evaluations of the place so far.
        provider: name of the provider, for errors.

    Raises:
        ImpastoError: the device's steps have no effect.
    """
    without_effect = 0
    while True:
        left = math.inf if evaluations is None else evaluations - counted
        rows = yield Steps(max(int(min(every, left)), 1))
        if rows is None:
            raise ValueError("an optimiser that yields Steps must be sent their rows")
        before = counted
        for row in rows:
            loss, step_size, iteration, total, _ = (float(value) for value in row[: len(REPORTED)])
            counted = int(total)
            if iteration > done:
                done = int(iteration)
                named = dict(zip(terms, row[len(REPORTED) :].tolist(), strict=True))
                yield Step(done, counted, loss, step_size, named, lambda: read_only(point()), state)
        code = Code(int(rows[-1, REPORTED.index("code")]))
        if code != Code.RUNNING:
            return Outcome[code.name]
        without_effect = 0 if counted > before else without_effect + len(rows)
        if without_effect > loss_scaling.MOST_ATTEMPTS:
            raise ImpastoError(f"the optimiser's step has no effect on provider {provider}; use --loop host")


def evaluations_in(rows: Rows) -> int:
    """Return how many evaluations count, from the first one on, when these rows are the latest."""
    return int(rows[-1, REPORTED.index("evaluations")])
