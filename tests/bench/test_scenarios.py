"""MLPerf's scenarios on a clock that is told how long an answer takes: schedules worked out by hand."""

import itertools
import statistics
from collections.abc import Callable, Iterator

import pytest

from impasto.bench.scenarios import (
    Begun,
    Interrupted,
    Query,
    offline,
    poisson_arrivals,
    server,
    single_stream,
)
from tests.bench.doubles import CountingWatch, ToldClock


def taking(clock: ToldClock, seconds: list[float]) -> Callable[[int], None]:
    return lambda number: clock.work(seconds[number % len(seconds)])


def test_server_with_a_queue_by_hand() -> None:
    # Each answer takes 2 s. The second query comes while the first is at work, the third while the second waits; the
    # fourth finds nobody and is begun at once.
    clock = ToldClock()
    queries = server(taking(clock, [2.0]), [1.0, 1.5, 2.0, 20.0], clock, CountingWatch())
    assert queries == [Query(1.0, 1.0, 3.0), Query(1.5, 3.0, 5.0), Query(2.0, 5.0, 7.0), Query(20.0, 20.0, 22.0)]
    assert [query.latency_s for query in queries] == [2.0, 3.5, 5.0, 2.0]
    assert [query.queueing_s for query in queries] == [0.0, 1.5, 3.0, 0.0]
    assert [query.service_s for query in queries] == [2.0] * 4
    assert clock.slept_s == 1.0 + (20.0 - 7.0)


def test_server_against_lindley() -> None:
    # The wait of query n + 1 is max(0, wait_n + service_n - gap) (Lindley, 1952).
    clock = ToldClock(now_s=0.0)
    services = [0.5, 3.0, 0.1, 1.0, 2.0]
    arrivals = poisson_arrivals(1.0, 40.0, seed=3)
    queries = server(taking(clock, services), arrivals, clock, CountingWatch())
    wait, expected = 0.0, [0.0]
    for number, (before, after) in enumerate(itertools.pairwise(arrivals)):
        wait = max(0.0, wait + services[number % 5] - (after - before))
        expected.append(wait)
    assert max(expected) > 3.0
    assert [query.queueing_s for query in queries] == pytest.approx(expected, abs=1e-9)


def test_arrivals_are_a_poisson_process() -> None:
    rate, duration_s = 5.0, 4000.0
    arrivals = poisson_arrivals(rate, duration_s, seed=1)
    assert arrivals == sorted(arrivals)
    assert 0 < arrivals[0] <= arrivals[-1] < duration_s
    assert len(arrivals) == pytest.approx(rate * duration_s, rel=0.03)
    gaps = [b - a for a, b in itertools.pairwise(arrivals)]
    assert statistics.fmean(gaps) == pytest.approx(1 / rate, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / rate, rel=0.03)  # of an exponential: equal to its mean
    counts = [0] * 4000
    for arrival in arrivals:
        counts[int(arrival)] += 1
    assert statistics.variance(counts) == pytest.approx(rate, rel=0.1)  # of a Poisson number: equal to its mean


def test_arrivals_depend_on_the_seed_alone_and_are_enough() -> None:
    assert poisson_arrivals(2.0, 10.0, seed=4) == poisson_arrivals(2.0, 10.0, seed=4)
    assert poisson_arrivals(2.0, 10.0, seed=4) != poisson_arrivals(2.0, 10.0, seed=5)
    short = poisson_arrivals(0.001, 1.0, seed=4, least=7)
    assert len(short) == 7
    assert short[:1] == poisson_arrivals(0.001, 1.0, seed=4)


def test_single_stream_asks_again_when_there_is_an_answer() -> None:
    clock = ToldClock()
    queries = single_stream(taking(clock, [2.0, 3.0]), 6.0, 1, clock, CountingWatch())
    assert queries == [Query(0.0, 0.0, 2.0), Query(2.0, 2.0, 5.0), Query(5.0, 5.0, 7.0)]


def test_single_stream_has_its_least_number() -> None:
    clock, watch = ToldClock(), CountingWatch()
    assert len(single_stream(taking(clock, [2.0]), 1.0, 4, clock, watch)) == 4
    assert watch.amounts == [0.25, 0.5, 0.75, 1.0]


def test_offline_has_all_at_once_and_in_batches() -> None:
    clock = ToldClock()

    def answers(begun: Begun) -> Iterator[int]:
        for pair in ((0, 1), (2, 3)):
            for number in pair:
                begun(number)
                begun(number)  # told again with each event: only the first counts
            clock.work(4.0)
            yield from pair

    queries = offline(answers, 4, clock, CountingWatch())
    assert queries == [Query(0.0, 0.0, 4.0), Query(0.0, 0.0, 4.0), Query(0.0, 4.0, 8.0), Query(0.0, 4.0, 8.0)]
    assert queries[-1].queueing_s == 4.0


def test_an_interrupted_query_does_not_count() -> None:
    clock = ToldClock()

    def serve(number: int) -> None:
        if number == 2:
            raise Interrupted
        clock.work(1.0)

    assert len(single_stream(serve, 10.0, 1, clock, CountingWatch())) == 2
    assert len(server(serve, [0.0, 0.0, 0.0, 0.0], clock, CountingWatch())) == 2
    assert server(serve, [0.0], clock, CountingWatch(stop_after=0)) == []
