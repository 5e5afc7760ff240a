"""The time that benchmarks go by: the real one, or in tests one that is told to pass."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go forward."""

    def now(self) -> float:
        """Return the time, s."""

    def sleep_until(self, time_s: float) -> None:
        """Return at that time, or at once where it has passed."""


class WallClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return `time.perf_counter()`."""
        return time.perf_counter()

    def sleep_until(self, time_s: float) -> None:
        """Sleep what is left."""
        time.sleep(max(0.0, time_s - self.now()))
