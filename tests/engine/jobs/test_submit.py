"""Jobs that are submitted: each has its own state, cancel, deadline, priority and failure, and waits for nobody."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, Job, Settings, Started
from impasto.engine.compile.memory_check import MemoryCheck
from impasto.engine.jobs import admission
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.job import JobState
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S, Gate, gate
from tests.engine.jobs.test_many import BASE, assert_like_a_single_run, engine, job

__all__ = ["engine", "gate"]  # fixtures

A, B, C, D = (3 * side * side * 3 // 4 for side in (48, 64, 96, 128))  # values of an image of that size


@pytest.fixture
def one_at_a_time(files: Files) -> Iterator[Engine]:
    with Engine(files.model, provider="cpu", threads=1, concurrency=1) as engine:
        yield engine


def sides(gate: Gate) -> list[int]:
    """The values of the image of each evaluation, which tell jobs of different sizes apart."""
    return [size for (size,) in gate.seen]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_submitted_job_is_like_a_transfer(engine: Engine, files: Files, gate: Gate) -> None:
    one = job(files)
    handle = engine.submit(one)
    with pytest.raises(TimeoutError, match=r"^the job is (queued|running) after 0.01 s; wait longer, or cancel it$"):
        handle.result(timeout_s=0.01)
    gate.wait()
    assert handle.state.value == "running"
    gate.open()
    result = handle.result(LONG_S)
    assert handle.state.value == "done"
    assert handle.result() is result
    single = engine.transfer(one.content, one.style, one.settings)
    assert_like_a_single_run(result, single)
    np.testing.assert_array_equal(result.picture.pixels, single.picture.pixels)


def test_a_job_in_the_queue_can_be_cancelled(one_at_a_time: Engine, files: Files, gate: Gate) -> None:
    first, second = (one_at_a_time.submit(job(files, size=side, iterations=3)) for side in (48, 64))
    gate.step()
    assert (first.state, second.state) == (JobState.RUNNING, JobState.QUEUED)
    second.cancel()
    gate.step()
    assert second.state is JobState.CANCELLED
    with pytest.raises(ImpastoError, match=r"^the run could not start: it was cancelled$"):
        second.result()
    assert list(second.events()) == []
    gate.open()
    assert first.result(LONG_S).iterations == 3
    first.cancel()  # too late
    assert first.state is JobState.DONE
    assert set(sides(gate)) == {A}


@pytest.mark.parametrize("loop", ["host", "device"])
def test_a_running_job_is_cancelled_before_its_next_evaluation(files: Files, gate: Gate, loop: str) -> None:
    with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
        handle, other = engine.submit(job(files, iterations=30)), engine.submit(job(files, size=48, iterations=30))
        gate.step(8)
        handle.cancel()
        gate.step(2)
        assert handle.state is JobState.CANCELLED
        result = handle.result()
        assert (result.outcome, result.evaluations) == ("cancelled", len(gate.seen) - 5)
        assert 0 < result.iterations < 30
        assert other.state is JobState.RUNNING
        gate.open()
        assert other.result(LONG_S).iterations == 30


@pytest.mark.parametrize("after", [0, 3])
def test_a_function_of_the_callers_cancels(engine: Engine, files: Files, gate: Gate, after: int) -> None:
    cancelled: list[None] = []
    handle = engine.submit(job(files), cancel=lambda: bool(cancelled))
    if after:
        gate.step(after)
    else:
        gate.wait()
    cancelled.append(None)
    gate.open()
    wait_for(lambda: handle.state.ended)
    assert handle.state is JobState.CANCELLED
    assert handle.result().evaluations == after + 1


def test_a_function_that_fails_ends_its_job_alone(engine: Engine, files: Files, gate: Gate) -> None:
    def broken() -> bool:
        return not 1 // (len(gate.seen) < 4)

    handle, other = engine.submit(job(files), cancel=broken), engine.submit(job(files, size=48, iterations=4))
    gate.open()
    with pytest.raises(ZeroDivisionError):
        handle.result(LONG_S)
    assert handle.state is JobState.FAILED
    assert other.result(LONG_S).iterations == 4


def test_a_job_that_fails_does_so_alone(engine: Engine, files: Files, gate: Gate) -> None:
    running = engine.submit(job(files, iterations=5))
    gate.step()
    missing = Job(files.folder / "missing.png", files.style, BASE)
    small = Job(np.zeros((8, 8, 3), np.uint8), files.style, BASE)
    not_finite = job(files, content_weight=1e38, init="noise")
    failing = [engine.submit(one) for one in (missing, job(files, style_taps=("relu9_9",)), small, not_finite)]
    gate.open()
    for handle, words in zip(failing, ("missing.png", "relu9_9", "8 x 8", "not finite at the starting"), strict=True):
        with pytest.raises(ImpastoError, match=words):
            handle.result(LONG_S)
        assert handle.state is JobState.FAILED
    assert running.result(LONG_S).iterations == 5


def test_events_can_be_followed_from_several_threads(engine: Engine, files: Files, gate: Gate) -> None:
    handle = engine.submit(job(files, iterations=5))
    followed: list[list[Event]] = [[], []]
    threads = [threading.Thread(target=lambda to=to: to.extend(handle.events())) for to in followed]
    threads[0].start()
    gate.step(3)
    wait_for(lambda: len(followed[0]) >= 3)  # as they come
    threads[1].start()
    gate.open()
    for thread in threads:
        thread.join(LONG_S)
    later = list(handle.events())
    assert followed == [later, later]
    started, *steps = later
    assert isinstance(started, Started)
    assert [step.iteration for step in steps if isinstance(step, Iteration)] == [1, 2, 3, 4, 5]
    assert all(isinstance(step, Iteration) and np.isfinite(step.snapshot()).all() for step in steps)


def test_the_time_limit_counts_from_the_submission(one_at_a_time: Engine, files: Files, gate: Gate) -> None:
    limited = Settings(**{**vars(BASE), "timeout_s": 0.5, "iterations": 1000})
    running = one_at_a_time.submit(Job(files.content, files.style, limited))
    waiting = one_at_a_time.submit(Job(files.content, files.style, limited))
    gate.wait()
    time.sleep(0.6)
    gate.open()
    result = running.result(LONG_S)
    assert (result.outcome, result.evaluations) == ("deadline", 1)
    with pytest.raises(ImpastoError, match=r"^the run could not start: 0.5 s passed while it waited$"):
        waiting.result(LONG_S)
    assert waiting.state is JobState.FAILED


def test_the_time_limit_of_a_job_of_many_counts_from_its_beginning(engine: Engine, files: Files, gate: Gate) -> None:
    """They are submitted ahead of their time."""
    one = job(files, timeout_s=0.5, iterations=2)
    running = engine.transfer_many([one] * 3)
    waiting = threading.Timer(0.7, gate.open)
    waiting.start()
    first, *others = running
    waiting.join()
    assert first.result is not None
    assert first.result.outcome == "deadline"
    assert [item.result and item.result.outcome for item in others] == ["iterations_done"] * 2
    assert all(item.result is not None and item.result.seconds < 0.5 for item in others)


def test_what_else_needs_the_engine_is_refused_while_jobs_run(engine: Engine, files: Files, gate: Gate) -> None:
    handle = engine.submit(job(files, iterations=2))
    for use in uses(engine, files):
        with pytest.raises(ImpastoError, match=r"^the engine is in use: 1 jobs have not ended; wait for them, give "):
            use()
    gate.open()
    handle.result(LONG_S)
    assert engine.evaluate(files.content, files.content, files.style, BASE).loss > 0


def uses(engine: Engine, files: Files) -> list[Callable[[], object]]:
    """Calls that need the engine for themselves."""
    images = files.content, files.style, BASE
    return [
        lambda: engine.evaluate(files.content, *images),
        lambda: engine.plan(*images),
        lambda: engine.check(*images),
        lambda: engine.warm_up(*images),
        lambda: engine.objective(*images),
        lambda: engine.save_style(files.style, files.folder / "s.safetensors", BASE),
    ]


@pytest.mark.parametrize("many", [False, True])
def test_within_an_event_the_engine_takes_jobs_and_nothing_else(engine: Engine, files: Files, many: bool) -> None:
    one = job(files, iterations=2)
    calls: list[Callable[[], object]] = [
        *uses(engine, files),
        engine.close,
        lambda: engine.transfer(one.content, one.style, one.settings),
        lambda: engine.transfer_many([one]),
    ]
    refused: list[str] = []
    handles: list[Handle] = []

    def on_event(*_: object) -> None:
        if handles:
            return
        for call in calls:
            with pytest.raises(ImpastoError) as caught:
                call()
            refused.append(str(caught.value))
        handles.append(engine.submit(job(files, size=48, iterations=1)))

    if many:
        (item,) = engine.transfer_many([one], on_event=on_event)
        assert item.error is None
    else:
        assert engine.transfer(one.content, one.style, one.settings, on_event=on_event).iterations == 2
    assert len(refused) == len(calls)
    assert set(refused) == {
        "this method would wait for ever: it was called from on_event, and the engine waits for on_event to return; "
        "call `submit`, which returns at once, or use another Engine"
    }
    assert handles[0].result(LONG_S).iterations == 1


def test_closing_ends_what_runs_and_what_waits(files: Files, gate: Gate) -> None:
    engine = Engine(files.model, provider="cpu", threads=1, concurrency=1)
    running, waiting = engine.submit(job(files, iterations=1000)), engine.submit(job(files, size=48))
    gate.step(3)
    opened = threading.Timer(0.2, gate.open)
    opened.start()
    engine.close()
    assert (running.state, waiting.state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert running.result().evaluations <= 5
    with pytest.raises(ImpastoError, match=r"^the engine is closed: make a new one$"):
        engine.submit(job(files, iterations=1))
    engine.close()


def test_closing_does_not_wait_for_who_follows(files: Files) -> None:
    """It may wait for the thread that closes."""
    engine = Engine(files.model, provider="cpu", threads=1)
    told, closed = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Iteration):
            told.set()
            assert closed.wait(LONG_S)

    def transfer() -> None:
        settings = dataclasses.replace(BASE, iterations=1000)
        outcomes.append(engine.transfer(files.content, files.style, settings, on_event=on_event).outcome)

    thread = threading.Thread(target=transfer)
    thread.start()
    assert told.wait(LONG_S)
    engine.close()
    closed.set()
    thread.join(LONG_S)
    assert outcomes == ["cancelled"]


def test_a_mistake_in_the_engine_leaves_nobody_waiting(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(Group, "leave", lambda *_: 1 / 0)
        handles = [engine.submit(job(files, iterations=2)) for _ in range(3)]
        for handle in handles:
            with pytest.raises(ZeroDivisionError):
                handle.result(LONG_S)
    assert engine.submit(job(files, iterations=2)).result(LONG_S).iterations == 2


def test_transfers_from_several_threads_share_the_engine(engine: Engine, files: Files) -> None:
    jobs = [job(files, iterations=8), job(files, size=48, iterations=8), job(files, init="noise", iterations=8)]
    found: dict[int, np.ndarray] = {}

    def run(number: int, one: Job) -> None:
        found[number] = engine.transfer(one.content, one.style, one.settings).picture.pixels

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    for number, one in enumerate(jobs):
        np.testing.assert_array_equal(
            found[number], engine.transfer(one.content, one.style, one.settings).picture.pixels
        )


def test_a_job_that_fits_only_alone_is_not_overtaken_for_ever(
    files: Files, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = MemoryCheck.fits
    monkeypatch.setattr(MemoryCheck, "fits", lambda self, spec, *more: spec.width != 96 and fits(self, spec, *more))
    monkeypatch.setattr(admission, "MOST_OVERTAKEN", 3)
    with Engine(files.model, provider="cpu", threads=1, concurrency=2) as engine:
        first = engine.submit(job(files, size=48, iterations=1))
        gate.wait()
        large = engine.submit(job(files, size=96, iterations=1))
        others = [engine.submit(job(files, size=48, iterations=1 + number % 2)) for number in range(8)]
        gate.open()
        for handle in (first, large, *others):
            handle.result(LONG_S)
    before = sides(gate).index(C)
    assert 0 < before < len(gate.seen) - 6
