"""Many jobs with several scales: side by side, in batches, with what is made ready ahead, and within the memory."""

import dataclasses
import gc
import random
import threading
import time
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Event, Handle, ImpastoError, Iteration, Job, Result, ScaleStarted, Settings
from impasto.engine.compile import memory
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.jobs.ahead import Ahead
from impasto.engine.jobs.groups import Groups
from impasto.engine.jobs.job import JobState
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.session import Session
from tests.engine.conftest import Files
from tests.engine.jobs.scale_runs import SIZES, Followed, assert_same, changed, engine, job, opened, three
from tests.engine.jobs.test_many import assert_like_a_single_run

__all__ = ["engine", "three"]  # fixtures
pytestmark = pytest.mark.usefixtures("three")


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The sessions that are open, by their identity."""
    found, begin, close = set[int](), Session.__init__, Session.close

    def opening(self: Session, *values: Any, **more: Any) -> None:
        begin(self, *values, **more)
        found.add(id(self))

    def closing(self: Session) -> None:
        found.discard(id(self))
        close(self)

    monkeypatch.setattr(Session, "__init__", opening)
    monkeypatch.setattr(Session, "close", closing)
    return found


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Width and samples of every session that was opened ahead, when it has opened."""
    seen, open_as_before = list[tuple[int, int]](), Compiler.open_apart

    def opening(self: Compiler, spec: GraphSpec) -> Evaluator:
        assert threading.current_thread().name.startswith("impasto ahead")
        evaluator = open_as_before(self, spec)
        seen.append((spec.width, spec.batch))
        return evaluator

    monkeypatch.setattr(Compiler, "open_apart", opening)
    return seen


def mixed(files: Files) -> list[Settings]:
    """Settings of jobs that share some scales and not others."""
    return [
        changed(),
        changed(size=68, iterations=9),
        changed(scales=2, init="noise", seed=1),
        changed(scales=1, iterations=5),
        changed(optimizer="adam"),
        changed(size=96, weighting="calibrated", content_weight=0.01),
        changed(size=140, iterations=8),
        changed(evaluations=11, iterations=50),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_jobs_of_all_sizes_scales_and_priorities_give_the_bits_of_single_runs(
    files: Files, engine: Engine, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311
    settings = mixed(files)
    chosen = rng.sample(range(len(settings)), 6)
    singles = {number: engine.transfer(files.content, files.style, settings[number]) for number in chosen}
    with opened(files, concurrency=rng.randint(1, 4)) as many:
        handles = []
        for number in chosen:
            one = Job(files.content, files.style, settings[number], priority=rng.randint(-3, 3))
            handles.append((number, many.submit(one)))
            time.sleep(rng.choice((0.0, 0.05)))
        for number, handle in handles:
            assert_same(handle.result(), singles[number])
            scales = [event for event in handle.events() if isinstance(event, ScaleStarted)]
            assert len(scales) == len(singles[number].scales)
            assert handle.state is JobState.DONE


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Handle, Event]]:
    """Every event of every job, in the order of the engine."""
    seen, tell = list[tuple[Handle, Event]](), Handle.tell

    def spy(self: Handle, event: Event) -> None:
        seen.append((self, event))
        tell(self, event)

    monkeypatch.setattr(Handle, "tell", spy)
    return seen


def test_a_job_goes_on_before_the_queue_begins(files: Files, told: list[tuple[Handle, Event]]) -> None:
    """With one place, a job keeps it over all its scales, whatever the priority of those that wait."""
    with opened(files, concurrency=1) as engine:
        first = engine.submit(job(files))
        while not first.begun:
            time.sleep(0.001)
        urgent = engine.submit(Job(files.content, files.style, changed(iterations=5), priority=8))
        for handle in (first, urgent):
            handle.wait()
    order = [handle for handle, event in told if isinstance(event, ScaleStarted)]
    assert order == [first] * 3 + [urgent] * 3


def test_others_take_turns_while_a_job_changes_its_scale(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next session takes its time to open, and the other job goes on meanwhile."""
    open_as_before, opening, others = Compiler.open_apart, threading.Event(), list[int]()
    blocked = threading.Event()

    def slow(self: Compiler, spec: GraphSpec) -> Evaluator:
        opening.set()
        assert blocked.wait(60)
        return open_as_before(self, spec)

    monkeypatch.setattr(Compiler, "open_apart", slow)

    def count(event: object) -> None:
        if isinstance(event, Iteration) and opening.is_set():
            others.append(event.iteration)
            if len(others) > 30:
                blocked.set()

    handle = engine.submit(job(files))
    single = changed(scales=1, init="noise", iterations=200)
    engine.transfer(files.content, files.style, single, on_event=count)
    assert len(others) > 30
    assert handle.result().iterations == 14


@pytest.mark.parametrize("opens_ahead", [True, False])
@pytest.mark.parametrize(("batch", "loop"), [(2, "host"), (3, "host"), (2, "device")])
def test_jobs_of_one_form_share_the_evaluations_of_each_scale(
    files: Files, monkeypatch: pytest.MonkeyPatch, batch: int, loop: str, opens_ahead: bool
) -> None:
    """They are in one group at each scale; but one whose targets take long may come when the others have gone on."""
    monkeypatch.setattr(Compiler, "opens_ahead", opens_ahead)
    specs: list[tuple[int, int]] = []
    added = Groups._added

    def spy(self: Groups, key: Any, spec: GraphSpec, *values: Any) -> Any:
        specs.append((spec.width, spec.batch))
        return added(self, key, spec, *values)

    monkeypatch.setattr(Groups, "_added", spy)
    settings = [changed(init="noise", seed=seed, iterations=12 + seed % 2) for seed in range(2 * batch)]
    jobs = [Job(files.content, files.style, one) for one in settings]
    with opened(files, loop) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=batch)}
        if not opens_ahead:
            assert specs == [(wide, batch) for _, wide in SIZES] * 2
        assert set(specs) >= {(wide, batch) for _, wide in SIZES}
        for index, one in enumerate(settings):
            result = found[index]
            assert isinstance(result, Result)
            assert_like_a_single_run(result, engine.transfer(files.content, files.style, one))
            assert len(result.scales) == 3


def test_the_next_session_opens_while_the_scale_runs(
    files: Files, engine: Engine, ahead: list[tuple[int, int]], sessions: set[int]
) -> None:
    result = engine.transfer(files.content, files.style, changed(iterations=40))
    assert ahead == [(68, 1), (96, 1)]
    assert_same(result, engine.transfer(files.content, files.style, changed(iterations=40)))
    engine.close()
    assert sessions == set()


def test_without_it_the_bits_are_the_same(files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine.transfer(files.content, files.style, changed())
    monkeypatch.setattr(Compiler, "opens_ahead", False)
    assert_same(engine.transfer(files.content, files.style, changed()), one)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_cancelled_job_leaves_no_session_and_no_thread(
    files: Files, ahead: list[tuple[int, int]], sessions: set[int], scale: int
) -> None:
    with opened(files) as engine:
        cancelled: list[int] = []

        def stop(event: object) -> None:
            if isinstance(event, Iteration) and event.scale == scale:
                cancelled.append(event.iteration)

        result = engine.transfer(
            files.content, files.style, changed(iterations=60), on_event=stop, cancel=lambda: len(cancelled) > 2
        )
        assert result.outcome == "cancelled"
        engine.release()
        gc.collect()
        assert sessions == set()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("impasto ahead")]
        assert engine.transfer(files.content, files.style, changed()).outcome == "iterations_done"
    assert sessions == set()


def test_closing_the_engine_in_any_scale_leaves_nothing(files: Files, sessions: set[int]) -> None:
    for wait_s in (0.0, 0.05, 0.1, 0.2, 0.4):
        engine = opened(files)
        handles = [engine.submit(job(files, init="noise", seed=seed, iterations=10_000)) for seed in range(2)]
        time.sleep(wait_s)
        engine.close()
        assert all(handle.state.ended for handle in handles)
        assert sessions == set()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("impasto")]


def test_a_session_that_does_not_open_ahead_is_the_jobs_own_error(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the thread has no effect: the job meets it, or not, when it opens the session itself."""
    tried: list[int] = []

    def fail(self: Compiler, spec: GraphSpec) -> Evaluator:
        tried.append(spec.width)
        raise ImpastoError("not ahead")

    plain = engine.transfer(files.content, files.style, changed(iterations=40))
    monkeypatch.setattr(Compiler, "open_apart", fail)
    assert_same(engine.transfer(files.content, files.style, changed(iterations=40)), plain)
    assert tried == [68, 96]


def needed(engine: Engine, one: Settings, files: Files) -> int:
    return engine.plan(files.content, files.style, one).memory.total


def test_the_largest_scale_is_checked_before_the_first_begins(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, smallest = (needed(engine, changed(size=size), files) for size in (96, 48))
    assert smallest < largest
    monkeypatch.setattr(memory, "available", lambda: (smallest + largest) // 2)
    seen = Followed()
    with pytest.raises(ImpastoError, match=r"^not enough memory: this run \(96x72 px, history 10\)"):
        engine.transfer(files.content, files.style, changed(), on_event=seen)
    assert seen.events == []


def test_nothing_opens_ahead_where_memory_is_short(
    files: Files, engine: Engine, ahead: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.transfer(files.content, files.style, changed(iterations=40))
    ahead.clear()
    largest = needed(engine, changed(), files)
    free = [largest]
    call = Evaluator.__call__

    def evaluate(self: Evaluator, images: Any) -> Any:
        free[0] = largest // 2  # the present scale has taken the rest
        return call(self, images)

    monkeypatch.setattr(Evaluator, "__call__", evaluate)
    monkeypatch.setattr(memory, "available", lambda: free[0])
    assert_same(engine.transfer(files.content, files.style, changed(iterations=40)), whole)
    assert ahead == []


@pytest.mark.parametrize("reserves", [True, False])
def test_the_memory_of_a_later_scale_is_kept_for_its_job(
    files: Files, told: list[tuple[Handle, Event]], monkeypatch: pytest.MonkeyPatch, reserves: bool
) -> None:
    """Another job does not begin in the memory that the largest scale of a running job will take."""
    if not reserves:
        monkeypatch.setattr(Groups, "_bytes_of_later_scales", lambda self: 0)
    other = changed(scales=1, size=64, iterations=3)
    with opened(files) as engine:
        free = needed(engine, changed(), files) + needed(engine, other, files) // 2
        monkeypatch.setattr(memory, "available", lambda: free)
        one, two = engine.submit(job(files)), engine.submit(Job(files.content, files.style, other))
        assert (one.result().iterations, two.result().iterations) == (14, 3)
    scales_before = 0
    for handle, event in told:
        if handle is two:
            break
        scales_before += isinstance(event, ScaleStarted)
    assert scales_before == (3 if reserves else 1)


def test_what_is_taken_is_not_closed_and_what_is_dropped_is() -> None:
    """The queue of `Ahead` by itself, with two jobs that want one session."""

    class Opened:
        def __init__(self) -> None:
            self.session, self.closed = self, False

        def close(self) -> None:
            self.closed = True

    made: list[Opened] = []

    class Maker:
        def open_apart(self, spec: GraphSpec) -> Opened:
            made.append(Opened())
            return made[-1]

        def targets(self, *values: object) -> dict[str, np.ndarray]:
            return {"a": np.zeros(1)}

    class Here:
        def settings_here(self) -> None: ...
        def pictures_here(self) -> tuple[None, None]:
            return None, None

    spec = GraphSpec((), ("relu1_1",), 64, 64, "avg")
    ahead = Ahead()
    maker: Any = Maker()
    here: Any = Here()
    one: Any = object()
    two: Any = object()
    three_: Any = object()
    for handle in (one, two):
        ahead.begin(maker, handle, here, dataclasses.replace(spec, batch=2))
    taken: object = ahead.take_session(spec)
    assert taken is made[0]
    assert ahead.take_session(spec) is None
    ahead.drop(one)
    assert (len(made), made[0].closed) == (1, False)
    ahead.begin(maker, three_, here, spec)
    while not ahead.is_ready(three_):
        time.sleep(0.01)
    ahead.drop(three_)
    ahead.close()
    assert [one.closed for one in made] == [False, True]
