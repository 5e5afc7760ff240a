"""Samples taken in turn: A B A B, so that a change of the machine's speed meets all."""

from collections.abc import Callable, Mapping

from impasto.bench.clock import Clock, WallClock
from impasto.bench.effort import Effort
from impasto.bench.watch import Watch


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    effort: Effort,
    watch: Watch,
    clock: Clock | None = None,
    *,
    rest_s: float = 0.0,
) -> dict[str, list[float]]:
    """Return the seconds of each run, round by round; every name has as many samples as the others.

    Rounds begin until each of the runs has had ``duration_s`` on the average and ``least`` rounds are done.

    Args:
        runs: by name; each returns when its device has finished.
        effort: whose warm-up the caller has done.
        watch: asked before every round.
        clock: None is the machine's.
        rest_s: before each run.
    """
    clock = clock or WallClock()
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


def timed(run: Callable[[], object], clock: Clock) -> float:
    """Return the seconds that a run takes."""
    start_s = clock.now()
    run()
    return clock.now() - start_s
