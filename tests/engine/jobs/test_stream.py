"""Many jobs from an iterable, whose owner takes the results: neither of the two holds up the engine."""

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from impasto.engine import Engine, Job
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.queue import LOOK_AHEAD, MOST_UNCLAIMED
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S
from tests.engine.jobs.test_many import engine, job
from tests.engine.jobs.test_submit import wait_for

__all__ = ["engine"]  # a fixture


def test_an_owner_may_use_the_engine_between_two_results(engine: Engine, files: Files) -> None:
    """Although it is told of events, for which the engine waits."""
    jobs = [job(files, iterations=count) for count in (1, 9, 2)]
    other = job(files, size=48, iterations=2)
    iterations: Counter[int] = Counter()
    for item in engine.transfer_many(jobs, batch=2, on_event=lambda index, *_: iterations.update([index])):
        assert item.result is not None
        assert engine.submit(other).result(LONG_S).iterations == 2
        assert engine.transfer(other.content, other.style, other.settings).iterations == 2
    assert iterations == {0: 2, 1: 10, 2: 3}  # each with the event of its beginning


def test_an_iterable_that_waits_blocks_nobody(engine: Engine, files: Files) -> None:
    wanted = threading.Event()

    def jobs() -> Iterator[Job]:
        yield job(files, iterations=2)
        assert wanted.wait(LONG_S)
        yield job(files, iterations=3)

    running = engine.transfer_many(jobs())
    assert next(running).index == 0  # while the second is not there
    assert engine.submit(job(files, size=48, iterations=2)).result(LONG_S).iterations == 2
    wanted.set()
    assert [item.index for item in running] == [1]


@pytest.mark.parametrize("told", [False, True])
def test_results_that_were_taken_are_let_go(engine: Engine, files: Files, told: bool) -> None:
    left: list[weakref.ref[np.ndarray]] = []
    for item in engine.transfer_many([job(files, iterations=1)] * 6, on_event=(lambda *_: None) if told else None):
        assert item.result is not None
        left.append(weakref.ref(item.result.picture.pixels))
        gc.collect()
        assert sum(pixels() is not None for pixels in left) <= 2


def test_an_iterable_that_fails_says_so_after_what_it_gave(engine: Engine, files: Files) -> None:
    def jobs() -> Iterator[Job]:
        yield job(files, iterations=2)
        raise SystemExit("enough")

    with pytest.raises(SystemExit, match="enough"):
        list(engine.transfer_many(jobs()))


@pytest.mark.parametrize("told", [False, True])
def test_an_owner_who_pauses_stops_nobody_and_few_results_wait(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    ended: list[Handle] = []
    end = Handle.end

    def note(self: Handle, *values: object, **more: object) -> None:
        ended.append(self)
        end(self, *values, **more)  # type: ignore[arg-type]

    seen: Counter[int] = Counter()

    def on_event(index: int, *_: object) -> None:
        seen[index] += 1

    monkeypatch.setattr(Handle, "end", note)
    count = LOOK_AHEAD + 20
    running = engine.transfer_many([job(files, iterations=1)] * count, batch=3, on_event=on_event if told else None)
    next(running)
    wait_for(lambda: len(ended) >= 1 + MOST_UNCLAIMED)
    other = engine.submit(job(files, size=48, iterations=2))  # behind more than are looked at
    assert other.result(LONG_S).iterations == 2
    assert len(ended) == 1 + MOST_UNCLAIMED + 1
    assert len(list(running)) == count - 1
    assert seen == (dict.fromkeys(range(count), 2) if told else {})
