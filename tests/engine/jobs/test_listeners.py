"""A job waits for whoever follows it; the other jobs do not, and nothing is kept for either."""

import gc
import threading
import time
import weakref
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Event, ImpastoError, Iteration, Job, JobState
from impasto.engine.jobs.handle import Following, Handle
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S, Gate, gate
from tests.engine.jobs.test_many import BASE, engine, job
from tests.engine.jobs.test_submit import one_at_a_time

__all__ = ["engine", "gate", "one_at_a_time"]  # fixtures


def test_a_paused_transfer_holds_up_no_other_job(engine: Engine, files: Files) -> None:
    other = job(files, size=48, iterations=3)
    with closing(engine.steps(files.content, files.style, BASE)) as events:
        assert [type(next(events)).__name__ for _ in range(3)] == ["Started", "Iteration", "Iteration"]
        assert engine.submit(other).result(LONG_S).iterations == 3
        assert engine.transfer(other.content, other.style, other.settings).iterations == 3
        late = engine.submit(job(files, size=48, iterations=100_000, timeout_s=0.5))
        assert late.result(LONG_S).outcome == "deadline"
        following = next(events)
    assert isinstance(following, Iteration)
    assert following.iteration == 3  # the paused one has not moved meanwhile


def test_a_slow_listener_holds_up_no_other_job(engine: Engine, files: Files) -> None:
    told, go_on = threading.Event(), threading.Event()

    def on_event(event: Event) -> None:
        told.set()
        assert go_on.wait(LONG_S)

    thread = threading.Thread(
        target=lambda: engine.transfer(files.content, files.style, job(files, iterations=2).settings, on_event=on_event)
    )
    thread.start()
    try:
        assert told.wait(LONG_S)
        assert engine.submit(job(files, iterations=3)).result(LONG_S).iterations == 3
    finally:
        go_on.set()
        thread.join(LONG_S)


class Interrupted(Handle):
    """Lets another thread run between the two looks at a table that one change of an entry takes."""

    def __hash__(self) -> int:
        time.sleep(1e-5)
        return id(self)


def test_events_are_counted_exactly_from_two_threads(files: Files) -> None:
    """The engine counts up while the follower counts down."""
    count = 500
    following = Following(events=True, changed=lambda: None)
    handle = Interrupted(job(files))
    event = Iteration(1, 1, 1.0, {}, 0.0, lambda: np.zeros(()))

    def follow() -> None:
        for _ in range(count):
            following.next()
            following.handled()

    thread = threading.Thread(target=follow)
    thread.start()
    for _ in range(count):
        following.tell(handle, event)
    thread.join(LONG_S)
    assert not following.is_behind(handle)
    following.tell(handle, event)
    assert following.is_behind(handle)


@pytest.mark.parametrize("wrong", [None, ("a.png", "b.png"), "a.png"])
def test_what_is_no_job_is_refused_and_disturbs_nobody(engine: Engine, files: Files, wrong: object) -> None:
    running = engine.submit(job(files))
    with pytest.raises(ImpastoError, match=rf"^not a job: {type(wrong).__name__}; give "):
        list(engine.transfer_many([job(files, iterations=1), wrong, job(files)]))  # type: ignore[list-item]
    with pytest.raises(ImpastoError, match=r"^not a job: "):
        engine.submit(wrong)  # type: ignore[arg-type]
    assert running.result(LONG_S).iterations == BASE.iterations


def test_bad_parts_of_a_job_are_refused(files: Files) -> None:
    with pytest.raises(ImpastoError, match=r"^bad settings of a job: dict; "):
        Job(files.content, files.style, {})  # type: ignore[arg-type]
    with pytest.raises(ImpastoError, match=r"^bad priority 'high': "):
        Job(files.content, files.style, BASE, priority="high")  # type: ignore[arg-type]


def test_a_file_that_goes_while_its_job_waits_fails_that_job_alone(
    one_at_a_time: Engine, files: Files, gate: Gate
) -> None:
    gone = files.folder / "gone.png"
    gone.write_bytes(files.content.read_bytes())
    running = one_at_a_time.submit(job(files, size=48, iterations=100), batch=2)  # its batch may grow: jobs are read
    gate.wait()
    first = one_at_a_time.submit(job(files, iterations=2), batch=2)
    second = one_at_a_time.submit(Job(gone, files.style, BASE), batch=2)
    gate.step(2)  # both were read meanwhile
    gone.unlink()
    running.cancel()
    gate.open()
    assert first.result(LONG_S).iterations == 2
    with pytest.raises(ImpastoError, match=r"gone\.png"):
        second.result(LONG_S)


def test_a_file_that_turns_while_its_job_waits_is_refused(one_at_a_time: Engine, files: Files, gate: Gate) -> None:
    turned = files.folder / "turned.png"
    turned.write_bytes(files.content.read_bytes())
    running = one_at_a_time.submit(job(files, size=48, iterations=100), batch=2)  # its batch may grow: jobs are read
    gate.wait()
    waiting = one_at_a_time.submit(Job(turned, files.style, BASE), batch=2)
    gate.step(2)
    with Image.open(files.content) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned)
    running.cancel()
    gate.open()
    with pytest.raises(
        ImpastoError, match=r"^turned\.png changed its size while the job waited; submit the job again$"
    ):
        waiting.result(LONG_S)


def test_after_the_end_an_event_has_the_last_image_and_nothing_else_is_kept(engine: Engine, files: Files) -> None:
    failing = threading.Event()

    def cancel() -> bool:
        if failing.is_set():
            raise ZeroDivisionError
        return False

    content = np.asarray(Image.open(files.content), np.float32) / 255
    source = content.copy()
    handle = engine.submit(Job(source, files.style, BASE), cancel=cancel)
    for event in handle.events():
        if isinstance(event, Iteration) and event.iteration >= 3:
            failing.set()
    assert handle.state is JobState.FAILED
    assert isinstance(event, Iteration)
    assert np.abs(event.snapshot() - content).max() > 0.02  # and not the image that it started from

    done = engine.submit(job(files, iterations=2))
    picture = weakref.ref(done.result(LONG_S).picture.pixels)
    iterations = [event for event in done.events() if isinstance(event, Iteration)]
    run = iterations[-1].snapshot.__self__  # type: ignore[attr-defined]
    assert run._last is None
    kept = [run._x, run._prepared.x, run._prepared.scene.pixels, run._prepared.painting.pixels]
    assert sum(array.base.nbytes if array.base is not None else array.nbytes for array in kept) < 100
    del done, iterations, run, kept
    gc.collect()
    assert picture() is None
