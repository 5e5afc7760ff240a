"""Pictures in a given time: MLPerf's scenarios, where a query is one transfer of so many evaluations.

The worker is one engine, whose network is open and whose graph is compiled. Queries take turns on a few content
pictures, as MLPerf's do on a set that fits into memory; the style stays. In `offline` as many queries as the batch
has are worked on at once; in the others one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from impasto.bench import scenarios
from impasto.bench.fitting import check_transfers
from impasto.bench.sampling import WALL_CLOCK, Effort, Watch, timed
from impasto.bench.scenarios import OFFLINE, SCENARIOS, SINGLE_STREAM, Begun, Interrupted, Query
from impasto.bench.series import Series, summarise
from impasto.bench.subject import Subject, engine_facts, engine_name, loop_facts
from impasto.bench.transfer import answer, answers, limited
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.job import Job
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

PICTURES = 8
DEFAULT_LOAD = 0.7  # of what the worker can do: busy, and the queue does not grow for ever


@dataclass(frozen=True)
class Load:
    """What is asked of the worker.

    Attributes:
        names: of `SCENARIOS`.
        evaluations: of one query.
        rate_per_s: of the server scenario's arrivals; None is `DEFAULT_LOAD` over the seconds of a query.
        seed: of those arrivals.

    Raises:
        ImpastoError: an unknown scenario, or a value out of range.
    """

    names: tuple[str, ...] = SCENARIOS
    evaluations: int = 20
    rate_per_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in SCENARIOS:
                raise ImpastoError(f"unknown scenario {name!r}: allowed are {', '.join(SCENARIOS)}")
        if self.rate_per_s is not None and not (math.isfinite(self.rate_per_s) and self.rate_per_s > 0):
            raise ImpastoError(f"bad --rate {self.rate_per_s:g}: allowed are queries a second above 0")
        if self.seed < 0:
            raise ImpastoError(f"bad --seed {self.seed}: allowed are whole numbers of 0 or more")


@dataclass
class Worker:
    """An engine that answers queries.

    Attributes:
        engine: whose network is open.
        contents: the pictures that queries take turns on, uint8 H x W x 3.
        style: that of all of them.
        settings: of each query.
        watch: stops them.
        losses: of every answer.
        last: the latest answer; None before the first.
    """

    engine: Engine
    contents: Sequence[np.ndarray]
    style: np.ndarray
    settings: Settings
    watch: Watch
    losses: list[float] = field(default_factory=list)
    last: Result | None = None

    def __call__(self, number: int) -> None:
        """Answer one query.

        Raises:
            Interrupted: the watch stopped it.
        """
        result = answer(self.engine, self._job(number), self.watch)
        if result is None:
            raise Interrupted
        self._keep(result)

    def all(self, begun: Begun, *, count: int, batch: int) -> Iterator[int]:
        """Answer so many queries, a batch at once, and yield their numbers as they are answered."""
        jobs = map(self._job, range(count))
        for number, result in answers(self.engine, jobs, batch, self.watch, lambda index, *_: begun(index)):
            self._keep(result)
            yield number

    def _job(self, number: int) -> Job:
        return Job(self.contents[number % len(self.contents)], self.style, self.settings)

    def _keep(self, result: Result) -> None:
        self.losses.append(result.loss)
        self.last = result


def measure(subject: Subject, effort: Effort, watch: Watch, load: Load) -> Iterator[Series]:
    """Yield a series per size and scenario; samples are latencies.

    Raises:
        ImpastoError: as `limited`, or a transfer failed.
    """
    settings, warm_up = limited(subject.settings, load.evaluations), limited(subject.settings, effort.warm_up)
    for size in subject.sizes:
        content, style = subject.pictures(size)
        contents = [np.roll(content, number * size // PICTURES, axis=1) for number in range(PICTURES)]
        with subject.open() as engine:
            watch.stage(f"{size} px, warming up", 1)
            try:
                Worker(engine, contents, style, warm_up, watch)(0)
                query_s = timed(partial(Worker(engine, contents, style, settings, watch), 1))
            except Interrupted:
                return
            for name in load.names:
                batch = subject.batch if name == OFFLINE else 1
                label = f"{engine_name(engine, batch)}, {name}"
                watch.stage(f"{size} px, {label}", 1)
                check_transfers(engine, settings, (content, style), batch)
                warming = Worker(engine, contents, style, warm_up, watch)
                list(warming.all(lambda _: None, count=batch, batch=batch))  # compiles where the batch changes
                worker = Worker(engine, contents, style, settings, watch)
                run, facts = _scenario(name, effort, load, query_s, batch)
                queries = run(worker, clock=WALL_CLOCK, watch=watch)
                if queries and worker.last is not None:
                    said = {
                        **engine_facts(engine, batch),
                        **loop_facts(subject, worker.last),
                        "scenario": name,
                        **facts,
                        **_facts(queries),
                        "losses": list(worker.losses),
                    }
                    samples = [query.latency_s for query in queries]
                    yield Series(label, "query", size, samples, load.evaluations, worker.losses[-1], facts=said)


def _scenario(
    name: str, effort: Effort, load: Load, query_s: float, batch: int
) -> tuple[Callable[..., list[Query]], dict[str, Any]]:
    """Return what runs a scenario with a worker, and what it was told; a query takes about ``query_s``."""
    if name == SINGLE_STREAM:
        return partial(scenarios.single_stream, duration_s=effort.duration_s, least=effort.least), {}
    if name == OFFLINE:
        wanted = max(effort.least, effort.duration_s / query_s)
        count = batch * math.ceil(wanted / batch)  # a place that stays empty costs as much as a full one
        return lambda worker, clock, watch: scenarios.offline(
            partial(worker.all, count=count, batch=batch), count, clock, watch
        ), {}
    rate = load.rate_per_s or DEFAULT_LOAD / query_s
    arrivals = scenarios.poisson_arrivals(rate, effort.duration_s, load.seed, least=effort.least)
    return partial(scenarios.server, arrivals_s=arrivals), {"rate_per_s": rate, "seed": load.seed}


def _facts(queries: Sequence[Query]) -> dict[str, Any]:
    """Return throughput, and where the latency comes from."""
    queueing, service = ([getattr(query, name) for query in queries] for name in ("queueing_s", "service_s"))
    return {
        "throughput_per_s": len(queries) / queries[-1].end_s,
        "queueing_summary_s": summarise(queueing),
        "service_summary_s": summarise(service),
        "queueing_s": queueing,
        "service_s": service,
    }
