"""Samples in turn, on a clock that is told how long each run takes."""

from collections.abc import Callable

import pytest

from impasto.bench.sampling import Effort, interleaved, timed
from impasto.models.errors import ImpastoError
from tests.bench.doubles import CountingWatch, ToldClock


def runs(clock: ToldClock, order: list[str], seconds: dict[str, float]) -> dict[str, Callable[[], None]]:
    def make(name: str) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            clock.work(seconds[name])

        return run

    return {name: make(name) for name in seconds}


def test_they_take_turns_and_have_as_many_samples_each() -> None:
    clock, order = ToldClock(), list[str]()
    found = interleaved(
        runs(clock, order, {"a": 1.0, "b": 3.0}), Effort(duration_s=0.1, least=3), CountingWatch(), clock
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert found == {"a": [1.0, 1.0, 1.0], "b": [3.0, 3.0, 3.0]}


def test_rounds_go_on_until_each_has_had_the_duration_on_the_average() -> None:
    # A round is 4 s and the budget 2 x 10 s: 5 rounds, and the rests do not count.
    clock = ToldClock()
    found = interleaved(
        runs(clock, [], {"a": 1.0, "b": 3.0}), Effort(duration_s=10.0, least=2), CountingWatch(), clock, rest_s=50.0
    )
    assert [len(samples) for samples in found.values()] == [5, 5]
    assert clock.slept_s == 10 * 50.0
    assert clock.now() == 100.0 + 10 * 50.0 + 5 * 4.0


def test_progress_grows_to_all() -> None:
    clock, watch = ToldClock(), CountingWatch()
    interleaved(runs(clock, [], {"a": 1.0}), Effort(duration_s=4.0, least=2), watch, clock)
    assert watch.amounts == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_stop_ends_with_whole_rounds(rounds: int) -> None:
    clock = ToldClock()
    found = interleaved(runs(clock, [], {"a": 1.0, "b": 1.0}), Effort(), CountingWatch(stop_after=rounds), clock)
    assert [len(samples) for samples in found.values()] == [rounds, rounds]


def test_timed() -> None:
    clock = ToldClock()
    assert timed(lambda: clock.work(2.5), clock) == 2.5


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"duration_s": 0.0}, "bad --duration 0: allowed are seconds above 0"),
        ({"duration_s": float("inf")}, "bad --duration inf: allowed are seconds above 0"),
        ({"warm_up": 0}, "bad --warm-up 0: allowed are whole numbers of 1 or more"),
    ],
)
def test_efforts_that_are_none(values: dict[str, float], line: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        Effort(**values)  # type: ignore[arg-type]
    assert str(caught.value) == line
