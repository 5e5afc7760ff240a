"""How samples are taken: for how long, by which clock, in turn (A B A B, so that a change of speed meets all)."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from impasto.models.errors import ImpastoError

# Threads of a pool on the processor spin for a moment after their work, and would slow down whoever is next.
REST_ON_CPU_S = 0.02


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        duration_s: for each thing that is measured; the samples begun within it count.
        warm_up: evaluations before anything counts.
        least: samples at least, however long they take.

    Raises:
        ImpastoError: a value is out of range.
    """

    duration_s: float = 10.0
    warm_up: int = 3
    least: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ImpastoError(f"bad --duration {self.duration_s:g}: allowed are seconds above 0")
        if self.warm_up < 1:
            raise ImpastoError(f"bad --warm-up {self.warm_up}: allowed are whole numbers of 1 or more")

    def lasts(self, samples: int, begin_s: float) -> bool:
        """Return whether to measure on, with so many samples since so many seconds of `time.perf_counter`."""
        return samples < self.least or time.perf_counter() - begin_s < self.duration_s


class Clock:
    """Seconds that only go forward: the machine's own."""

    def now(self) -> float:
        """Return the time, s."""
        return time.perf_counter()

    def sleep_until(self, time_s: float) -> None:
        """Return at that time, or at once where it has passed."""
        time.sleep(max(0.0, time_s - self.now()))


WALL_CLOCK = Clock()


class Watch:
    """Follows a benchmark from stage to stage; this one shows nothing and never stops it."""

    def stage(self, text: str, total: float) -> None:
        """Begin a stage that is done when so much is."""

    def done(self, amount: float) -> None:
        """Take over how much of the stage is done."""

    def stopped(self) -> bool:
        """Return whether to end with the samples so far; called before every sample."""
        return False


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    effort: Effort,
    watch: Watch,
    clock: Clock = WALL_CLOCK,
    *,
    rest_s: float = 0.0,
) -> dict[str, list[float]]:
    """Return the seconds of each run, round by round; every name has as many samples as the others.

    Rounds begin until each of the runs has had ``duration_s`` on the average and ``least`` rounds are done.

    A run returns when its device has finished. The caller has done the warm-up. ``rest_s`` is slept before each run.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    budget_s, rounds, spent_s = effort.duration_s * len(runs), 0, 0.0
    while (rounds < effort.least or spent_s < budget_s) and not watch.stopped():
        for name, run in runs.items():
            clock.sleep_until(clock.now() + rest_s)
            samples[name].append(timed(run, clock))
        rounds += 1
        spent_s = sum(map(sum, samples.values()))
        watch.done(min(1.0, spent_s / budget_s, rounds / effort.least))
    return samples


def timed(run: Callable[[], object], clock: Clock = WALL_CLOCK) -> float:
    """Return the seconds that a run takes."""
    start_s = clock.now()
    run()
    return clock.now() - start_s
