"""When something may be shown, so that showing costs no more than a share of the time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.02
INTERVAL_S = 1.0
FIRST_COST_S = 0.1  # assumed before anything was measured: sixel took 60 ms on a busy machine


class Pace:
    """Allows a turn when an interval has passed and its cost, expected from the last one, stays within the share.

    Attributes:
        spent_s: in turns so far.
    """

    def __init__(
        self,
        share: float = SHARE,
        interval_s: float = INTERVAL_S,
        first_cost_s: float = FIRST_COST_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin to count time.

        Args:
            share: of the time since then that turns may take.
            interval_s: from the end of a turn to the next one, at least.
            first_cost_s: what the first turn is expected to take.
            clock: seconds that only go forward.
        """
        self.spent_s = 0.0
        self._share, self._interval_s = share, interval_s
        self._cost_s = first_cost_s
        self._clock = clock
        self._start = self._last = clock()

    def due(self) -> bool:
        """Tell whether a turn may begin now."""
        now = self._clock()
        if now - self._last < self._interval_s:
            return False
        return self.spent_s + self._cost_s <= self._share * (now - self._start)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Measure a turn."""
        begin = self._clock()
        try:
            yield
        finally:
            self._last = self._clock()
            self._cost_s = self._last - begin
            self.spent_s += self._cost_s
