"""Seconds for a whole transfer: pictures in, optimiser, picture out, as `Engine.transfer` does it.

The network is open and the graph compiled before, by a transfer of as many evaluations as the warm-up has; what a
process needs besides is the matter of `cold-start`.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from impasto.bench.fitting import check_transfers
from impasto.bench.sampling import Effort, Watch
from impasto.bench.series import Point, Series
from impasto.bench.subject import Subject, engine_facts, engine_name, loop_facts
from impasto.engine.events import Event, Iteration, OnEvent
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.job import Job
from impasto.engine.jobs.stream import OnJobEvent
from impasto.engine.optimisers.solution import Outcome
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

CANCELLED = Outcome.CANCELLED.value


@dataclass(frozen=True)
class TransferRun:
    """One finished transfer, or several at once.

    Attributes:
        seconds: in all.
        result: of the first one.
        curve: of the first: the start, where its set-up ended, and a point per iteration. On a GPU the host looks at
            several iterations at once, which then have the seconds of that look.
    """

    seconds: float
    result: Result
    curve: tuple[Point, ...]


def limited(settings: Settings, evaluations: int) -> Settings:
    """Return the settings with a limit on the evaluations alone.

    Raises:
        ImpastoError: it is below 1.
    """
    if evaluations < 1:
        raise ImpastoError(f"bad --evaluations {evaluations}: allowed are whole numbers of 1 or more")
    return replace(settings, iterations=evaluations, evaluations=evaluations)


def answer(engine: Engine, job: Job, watch: Watch, on_event: OnEvent | None = None) -> Result | None:
    """Return the result of one transfer; None where the watch stopped it.

    Raises:
        ImpastoError: it failed.
    """
    try:
        result = engine.transfer(job.content, job.style, job.settings, on_event=on_event, cancel=watch.stopped)
    except ImpastoError:
        if watch.stopped():
            return None
        raise
    return None if result.outcome == CANCELLED else result


def answers(
    engine: Engine, jobs: Iterable[Job], batch: int, watch: Watch, on_event: OnJobEvent
) -> Iterator[tuple[int, Result]]:
    """Yield number and result of each of several transfers at once as it ends, until the watch stops them.

    Raises:
        ImpastoError: one failed.
    """
    for finished in engine.transfer_many(jobs, batch=batch, on_event=on_event, cancel=watch.stopped):
        if finished.error is not None and not watch.stopped():
            raise finished.error
        if finished.result is None or finished.result.outcome == CANCELLED:
            return
        yield finished.index, finished.result


def measure(subject: Subject, effort: Effort, watch: Watch, *, evaluations: int) -> Iterator[Series]:
    """Yield one series per size; with a batch, a sample is as many transfers at once.

    A transfer that was interrupted does not count.

    Raises:
        ImpastoError: as `limited`, or a transfer failed.
    """
    settings, warm_up = limited(subject.settings, evaluations), limited(subject.settings, effort.warm_up)
    for size in subject.sizes:
        watch.stage(f"{size} px, warming up", effort.warm_up)
        content, style = subject.pictures(size)
        with subject.open() as engine:
            name = engine_name(engine, subject.batch)
            check_transfers(engine, settings, (content, style), subject.batch)
            _run(engine, [Job(content, style, warm_up)] * subject.batch, watch)
            runs: list[TransferRun] = []
            start_s = time.perf_counter()
            watch.stage(f"{size} px, {name}, one transfer after another", evaluations)
            while not watch.stopped() and effort.lasts(len(runs), start_s):
                run = _run(engine, [Job(content, style, settings)] * subject.batch, watch)
                if run is not None:
                    runs.append(run)
            if runs:
                yield _series(name, size, runs, engine_facts(engine, subject.batch), subject)


def _run(engine: Engine, jobs: list[Job], watch: Watch) -> TransferRun | None:
    """Run as many transfers at once as there are jobs; None where they were stopped."""
    curve: list[Point] = []

    def on_event(number: int, _: Job, event: Event) -> None:
        if isinstance(event, Iteration) and not number:
            curve.append(Point(event.evaluations, event.seconds, event.loss))
            watch.done(event.evaluations)

    begin_s = time.perf_counter()
    if len(jobs) == 1:
        results = [answer(engine, jobs[0], watch, partial(on_event, 0, jobs[0]))]
    else:
        results = [result for _, result in answers(engine, jobs, len(jobs), watch, on_event)]
    seconds = time.perf_counter() - begin_s
    first = results[0] if len(results) == len(jobs) else None
    if first is None:
        return None
    if first.initial_terms:  # of the image that the run started from
        curve.insert(0, Point(1, first.setup_s, sum(first.initial_terms.values())))
    return TransferRun(seconds, first, tuple(curve))


def _series(name: str, size: int, runs: list[TransferRun], facts: dict[str, Any], subject: Subject) -> Series:
    last = runs[-1].result
    loop = loop_facts(subject, last)
    return Series(
        name,
        "transfer",
        size,
        [run.seconds for run in runs],
        last.evaluations * facts["batch"],
        last.loss,
        runs[-1].curve,
        {
            **facts,
            **loop,
            "iterations": last.iterations,
            "outcome": last.outcome,
            "initial_loss": sum(last.initial_terms.values()),
            "losses": [run.result.loss for run in runs],
            "setup_s": [run.result.setup_s for run in runs],
            **_share(runs, facts["batch"], loop["loop"]),
        },
    )


def _share(runs: list[TransferRun], batch: int, loop: str) -> dict[str, list[float]]:
    """Return which share of a run is not its evaluations', where these are timed apart.

    They are not in a batch, where a job's evaluation waits for the other jobs' targets and optimisers, nor on the
    device, where a step of the optimiser is timed with the evaluation before it.
    """
    if batch > 1 or loop == "device":
        return {}
    shares = [1 - run.result.evaluations_s / (run.result.seconds - run.result.setup_s) for run in runs]
    return {"share_outside_evaluations": shares}
