"""The progress of a run as lines, for stderr that is no terminal, such as a log file."""

import time
from collections.abc import Callable

from impasto.engine.events import Event, Iteration, Started

EVERY_S = 30.0


class PlainProgress:
    """Says from time to time how far a run is.

    Args:
        iterations: maximum number of iterations of the run.
        say: prints a line.
        clock: seconds; differences alone count.
    """

    def __init__(
        self, iterations: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._iterations, self._say, self._clock = iterations, say, clock
        self._next_s = clock() + EVERY_S

    def show(self, event: Event) -> None:
        """Print a line, if the last one is `EVERY_S` seconds old."""
        now_s = self._clock()
        if isinstance(event, Started):
            self._next_s = now_s + EVERY_S
        elif isinstance(event, Iteration) and now_s >= self._next_s:
            self._next_s = now_s + EVERY_S
            size = f", {event.width}x{event.height} px" if event.scales > 1 else ""
            self._say(
                f"{event.iteration} of {self._iterations} iterations in {event.seconds:.0f} s{size}, "
                f"loss {event.loss:.4g}"
            )
