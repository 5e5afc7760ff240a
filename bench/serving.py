"""Pictures over HTTP at an offered load: MLPerf's server scenario against `impasto serve`.

Queries are jobs. They come at random, a Poisson process, and each is submitted at its time, whatever the server does:
a server that is slower than the load has a queue that grows. The times are this program's: a query's arrival, and the
arrival of the server's events that it began and that it ended.
"""

import contextlib
import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.bench import scenarios
from impasto.bench.sampling import WALL_CLOCK, Effort, Watch
from impasto.bench.scenarios import Query
from impasto.bench.series import Series, summarise
from impasto.bench.serve_process import ServeProcess
from impasto.bench.subject import Subject
from impasto.bench.transfer import limited
from impasto.engine.images.writing import encode
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.client import Client

LOADS = (0.5, 0.8)
KEY_VARIABLE = "IMPASTO_API_KEY"
_PICTURES = 8
_CALIBRATIONS = 3
_SENDERS = 32
_POLL_S, _PATIENCE_S = 0.05, 300.0
_NO_LIMIT = "1000000/minute"


@dataclass(frozen=True)
class Offer:
    """What is asked of the server.

    Attributes:
        loads: parts of what the server can do, as measured by jobs one after another.
        rates: jobs a second, after the loads.
        evaluations: of one job.
        seed: of the arrivals.
        workers: of the server that is started.
        url: of a server that runs already; None starts one.

    Raises:
        ImpastoError: a value is out of range.
    """

    loads: tuple[float, ...] = LOADS
    rates: tuple[float, ...] = ()
    evaluations: int = 20
    seed: int = 0
    workers: int = 1
    url: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("load", self.loads), ("rate", self.rates)):
            for value in values:
                if not (math.isfinite(value) and value > 0):
                    raise ImpastoError(f"bad --{name} {value:g}: allowed are numbers above 0")
        for name, whole, least in (("seed", self.seed, 0), ("workers", self.workers, 1)):
            if whole < least:
                raise ImpastoError(f"bad --{name} {whole}: allowed are whole numbers of {least} or more")


@dataclass
class _Seen:
    """When the server told of the events of jobs, by this program's clock.

    Attributes:
        times: by the kind of the event and the job.
        states: of the jobs that have ended.
        latest_s: when the latest event of any kind came, or the wait for one began.
        failure: why no more events come; None while they do.
    """

    times: dict[tuple[str, str], float] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    latest_s: float = field(default_factory=WALL_CLOCK.now)
    failure: Exception | None = None

    def follow(self, client: "Client") -> None:
        """Follow the server until the connection is closed."""
        try:
            for event in client.all_events():
                self.latest_s = WALL_CLOCK.now()
                if event.kind in ("started", "ended"):
                    self.times.setdefault((event.kind, event.data["render"]), self.latest_s)
                    if event.kind == "ended":
                        self.states[event.data["render"]] = event.data["state"]
        except Exception as error:
            self.failure = error

    def wait_for(self, jobs: Sequence[str], on_wait: Callable[[], None] = lambda: None) -> None:
        """Wait until the server has told of the ends of jobs.

        Args:
            jobs: their ids.
            on_wait: called again and again meanwhile.

        Raises:
            ImpastoError: the events broke off, or none came for some minutes.
        """
        self.latest_s = WALL_CLOCK.now()
        while left := [job for job in jobs if job not in self.states]:
            on_wait()
            if self.failure is not None:
                raise ImpastoError(f"the events of the server broke off: {self.failure}") from self.failure
            if WALL_CLOCK.now() - self.latest_s > _PATIENCE_S:
                raise ImpastoError(
                    f"the server has told nothing for {_PATIENCE_S:g} s; jobs that have not ended: {len(left)}; "
                    "look at its log"
                )
            time.sleep(_POLL_S)


@dataclass
class _Sent:
    """A job that was submitted, s since the scenario began; without an id, it was refused."""

    arrival_s: float
    submit_s: float
    job: str | None


def measure(subject: Subject, effort: Effort, watch: Watch, offer: Offer) -> Iterator[Series]:
    """Yield a series per size and load; samples are the times from a job's arrival to its end.

    Raises:
        ImpastoError: the server cannot be started or reached, or a job failed.
    """
    with tempfile.TemporaryDirectory(prefix="impasto-bench-") as folder, contextlib.ExitStack() as stack:
        url = offer.url
        if url is None:
            watch.stage("starting the server", 1)
            url = stack.enter_context(ServeProcess(Path(folder), *_options(subject, offer))).url
        for size in subject.sizes:
            yield from _measure_size(url, subject, size, effort, watch, offer)


def _options(subject: Subject, offer: Offer) -> list[object]:
    named = {"--model": subject.model, "--provider": subject.provider, "--precision": subject.precision}
    words = [word for pair in named.items() for word in pair]
    return [*words, "--threads", subject.threads, "--workers", offer.workers, "--rate", _NO_LIMIT]


def _measure_size(
    url: str, subject: Subject, size: int, effort: Effort, watch: Watch, offer: Offer
) -> Iterator[Series]:
    from impasto.client import Client

    content, style = subject.pictures(size)
    contents = [encode(np.roll(content, number * size // _PICTURES, axis=1), ".png") for number in range(_PICTURES)]
    settings = limited(subject.settings, offer.evaluations).as_dict()
    job: dict[str, Any] = {"style": encode(style, ".png"), "settings": settings, "start": None}
    seen, key = _Seen(), os.environ.get(KEY_VARIABLE)
    with Client(url, key) as client, Client(url, key) as follower:
        threading.Thread(target=seen.follow, args=(follower,), daemon=True).start()
        watch.stage(f"{size} px, warming up", 1)
        for _ in range(effort.warm_up):
            client.submit(contents[0], **job).wait()
        if watch.stopped():
            return
        alone = [client.submit(contents[0], **job).wait().id for _ in range(_CALIBRATIONS)]
        seen.wait_for(alone)
        capacity = offer.workers / statistics.median(seen.times["ended", found] - seen.times["started", found]
                                                     for found in alone)  # fmt: skip
        asked = [(f"{load:g} load", load * capacity) for load in offer.loads]
        for label, rate in [*asked, *((f"{rate:g}/s", rate) for rate in offer.rates)]:
            watch.stage(f"{size} px, {label}, {rate:.3g} jobs/s", 1)
            arrivals = scenarios.poisson_arrivals(rate, effort.duration_s, offer.seed, least=effort.least)

            def submit(number: int) -> str:
                return client.submit(contents[number % _PICTURES], **job).id

            start_s = WALL_CLOCK.now()
            sent = _send(submit, arrivals, start_s, watch)
            _wait(seen, sent, watch, client)
            made = _queries(seen, sent, start_s)
            if made:
                last = client.job(max(made, key=lambda job: made[job].end_s)).values["summary"]
                facts = {"rate_per_s": rate, "seed": offer.seed, "capacity_per_s": capacity, "workers": offer.workers}
                facts |= _facts(list(made.values()), sent, last)
                samples = [query.latency_s for query in made.values()]
                yield Series(f"serve, {label}", "query", size, samples, last["evaluations"], last["loss"], facts=facts)
            if watch.stopped():
                return


def _send(submit: Callable[[int], str], arrivals_s: Sequence[float], start_s: float, watch: Watch) -> list[_Sent]:
    """Submit each job at its time, from as many threads as it takes."""

    def send(number: int, arrival_s: float) -> _Sent:
        begin_s, job = WALL_CLOCK.now(), None
        with contextlib.suppress(ImpastoError):
            job = submit(number)
        return _Sent(arrival_s, WALL_CLOCK.now() - begin_s, job)

    futures: list[Future[_Sent]] = []
    with ThreadPoolExecutor(_SENDERS) as pool:
        for number, arrival_s in enumerate(arrivals_s):
            WALL_CLOCK.sleep_until(start_s + arrival_s)
            if watch.stopped():
                break
            futures.append(pool.submit(send, number, arrival_s))
            watch.done(number / len(arrivals_s))
    return [future.result() for future in futures]


def _wait(seen: _Seen, sent: Sequence[_Sent], watch: Watch, client: "Client") -> None:
    """Wait until all jobs have ended; a Ctrl-C cancels those that have not."""
    jobs, cancelled = [item.job for item in sent if item.job is not None], set[str]()

    def cancel_when_stopped() -> None:
        if watch.stopped():
            for job in {*jobs} - {*seen.states} - cancelled:
                cancelled.add(job)
                client.job(job).cancel()

    seen.wait_for(jobs, cancel_when_stopped)
    failed = [job for job in jobs if seen.states[job] not in ("done", "cancelled")]
    if failed:
        raise ImpastoError(f"a job {seen.states[failed[0]]}: {client.job(failed[0]).values['message']}")


def _queries(seen: _Seen, sent: Sequence[_Sent], start_s: float) -> dict[str, Query]:
    """Return the jobs that are done, by id."""
    done = [item for item in sent if item.job is not None and seen.states.get(item.job) == "done"]
    return {
        str(item.job): Query(
            item.arrival_s,
            seen.times["started", str(item.job)] - start_s,
            seen.times["ended", str(item.job)] - start_s,
        )
        for item in done
    }


def _facts(queries: Sequence[Query], sent: Sequence[_Sent], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return throughput, and where the latency comes from."""
    queueing, service = ([getattr(query, name) for query in queries] for name in ("queueing_s", "service_s"))
    submit = [item.submit_s for item in sent if item.job is not None]
    through = len(queries) / max(query.end_s for query in queries)
    return {
        "scenario": scenarios.SERVER,
        "provider": summary["provider"],
        "precision": summary["precision"],
        "model": summary["model"],
        "refused": sum(item.job is None for item in sent),
        "throughput_per_s": through,
        "pictures_per_hour": 3600 * through,
        "offered_per_hour": 3600 * len(sent) / sent[-1].arrival_s,
        "queueing_summary_s": summarise(queueing),
        "service_summary_s": summarise(service),
        "submit_summary_s": summarise(submit),
        "arrivals_s": [query.arrival_s for query in queries],
        "queueing_s": queueing,
        "service_s": service,
        "submit_s": submit,
    }
