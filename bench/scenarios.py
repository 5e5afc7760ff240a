"""Load as MLPerf's inference benchmark puts it (Reddi et al., arXiv:1911.02549, table II), on one worker.

    single-stream   the next query comes when the last one is answered; what counts is the latency
    offline         all queries are there at the start; what counts is the throughput
    server          queries come at random, a Poisson process; a latency includes the wait in the queue

A latency is from a query's arrival to its answer. Differs from MLPerf: its rules on the least number of queries and
its search for the highest rate within a bound on the latency are left to whoever chooses duration and rate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from impasto.bench.sampling import Clock, Watch

SINGLE_STREAM, OFFLINE, SERVER = SCENARIOS = ("single-stream", "offline", "server")

Serve = Callable[[int], None]
"""Answers the query of that number, and returns when it is answered, or raises `Interrupted`."""

Begun = Callable[[int], None]
"""Told of the number of a query when the work on it begins."""


class Interrupted(Exception):  # noqa: N818 - a message to the runner, not an error
    """Raised by a service that was stopped in the middle of a query, which then does not count."""


@dataclass(frozen=True)
class Query:
    """When one query came, was begun and was answered; s since the scenario began."""

    arrival_s: float
    begin_s: float
    end_s: float

    @property
    def latency_s(self) -> float:
        """From arrival to answer."""
        return self.end_s - self.arrival_s

    @property
    def queueing_s(self) -> float:
        """From arrival to the beginning of the work."""
        return self.begin_s - self.arrival_s

    @property
    def service_s(self) -> float:
        """The work itself."""
        return self.end_s - self.begin_s


def poisson_arrivals(rate_per_s: float, duration_s: float, seed: int, *, least: int = 1) -> list[float]:
    """Return the arrival times of a Poisson process, s: the gaps are exponential with mean 1 / rate.

    Arrivals after the duration are left out, once there are enough.
    """
    rng = np.random.default_rng(seed)
    arrivals: list[float] = []
    time_s = float(rng.exponential(1.0 / rate_per_s))
    while time_s < duration_s or len(arrivals) < least:
        arrivals.append(time_s)
        time_s += float(rng.exponential(1.0 / rate_per_s))
    return arrivals


def single_stream(serve: Serve, duration_s: float, least: int, clock: Clock, watch: Watch) -> list[Query]:
    """Ask again as soon as there is an answer, until the time is over and there are enough."""
    start_s, queries = clock.now(), list[Query]()
    now_s = 0.0
    while (now_s < duration_s or len(queries) < least) and not watch.stopped():
        begin_s = now_s
        try:
            serve(len(queries))
        except Interrupted:
            break
        now_s = clock.now() - start_s
        queries.append(Query(begin_s, begin_s, now_s))
        watch.done(min(now_s / duration_s, len(queries) / least, 1.0))
    return queries


def offline(answers: Callable[[Begun], Iterable[int]], count: int, clock: Clock, watch: Watch) -> list[Query]:
    """Hand over all queries at once, and take the answers as they come.

    ``answers`` yields the number of each query when it is answered; it is given what to call when one is begun.
    """
    start_s, begun, queries = clock.now(), dict[int, float](), list[Query]()

    def begin(number: int) -> None:
        begun.setdefault(number, clock.now() - start_s)

    for number in answers(begin):
        queries.append(Query(0.0, begun[number], clock.now() - start_s))
        watch.done(len(queries) / count)
    return queries


def server(serve: Serve, arrivals_s: Sequence[float], clock: Clock, watch: Watch) -> list[Query]:
    """Answer queries one by one, first come, first served; ``arrivals_s`` ascend, s since the beginning."""
    start_s, queries = clock.now(), list[Query]()
    for number, arrival_s in enumerate(arrivals_s):
        clock.sleep_until(start_s + arrival_s)
        if watch.stopped():
            break
        begin_s = clock.now() - start_s
        try:
            serve(number)
        except Interrupted:
            break
        queries.append(Query(arrival_s, begin_s, clock.now() - start_s))
        watch.done((number + 1) / len(arrivals_s))
    return queries
