"""Tells after a run whether more iterations would still change its picture."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from impasto.engine.events import Iteration
    from impasto.engine.result import Result

_SHARE = 0.9
"""The picture is compared with that of this share of the iterations."""
_UNSEEN_LEVELS = 1.0
_LEAST_ITERATIONS = 5
"""Of the last part: after fewer, the change says little."""


class RemainingChange:
    """Keeps the picture near the end of a run, and compares the result with it.

    Args:
        iterations: maximum number of iterations of the run.
    """

    def __init__(self, iterations: int) -> None:
        self._at = max(int(iterations * _SHARE), 1)
        self._kept: tuple[int, np.ndarray] | None = None

    def take(self, event: "Iteration") -> None:
        """Keep a copy of the picture of the one iteration that it is compared with."""
        if event.iteration == self._at and event.scale == event.scales:
            self._kept = event.iteration, event.snapshot()

    def finish(self, result: "Result") -> str:
        """Return a line for the summary; it is empty if there is nothing to compare."""
        if self._kept is None or result.iterations - self._kept[0] < _LEAST_ITERATIONS:
            return ""
        iteration, before = self._kept
        if before.shape != result.picture.pixels.shape:
            return ""
        after = result.picture.pixels
        levels = 255 * float(np.abs(np.clip(after, 0, 1) - np.clip(before, 0, 1)).mean())
        more = "more would hardly change it" if levels < _UNSEEN_LEVELS else "more would still change it"
        return (
            f"the last {result.iterations - iteration} iterations changed the picture by {levels:.1f} of 255 grey "
            f"levels on average; {more}"
        )
