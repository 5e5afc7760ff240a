"""Uses of an engine that cannot work: after its end, from its own callbacks, and an objective that has expired."""

import dataclasses
import gc
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import closing

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, JobState, transfer_refined
from impasto.engine.jobs.engine import workshop_of
from impasto.engine.jobs.handle import Handle
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S, Gate, gate
from tests.engine.jobs.test_many import BASE, engine, job
from tests.engine.jobs.test_submit import one_at_a_time, uses
from tests.small_network import features_model

__all__ = ["engine", "gate", "one_at_a_time"]  # fixtures

FOR_EVER = r"^this method would wait for ever: "


def opened(files: Files, concurrency: int = 4) -> Engine:
    return Engine(files.model, provider="cpu", threads=1, concurrency=concurrency)


def everything(engine: Engine, files: Files) -> list[Callable[[], object]]:
    one = job(files, iterations=1)
    images = one.content, one.style, one.settings
    return [
        *uses(engine, files),
        lambda: engine.plan_many([one]),
        lambda: engine.plan_style(files.style, BASE),
        lambda: engine.submit(one),
        lambda: engine.transfer(*images),
        lambda: engine.steps(*images),
        lambda: engine.transfer_many([one]),
        lambda: engine.release(),
        lambda: engine.__enter__(),
    ]


def test_a_closed_engine_refuses_every_use_and_opens_nothing(files: Files) -> None:
    with opened(files) as engine:
        state = engine.transfer(files.content, files.style, BASE, keep_state=True).state
        steps = engine.steps(files.content, files.style, BASE)
        many = engine.transfer_many([job(files)])
    assert state is not None
    later: list[Callable[[], object]] = [lambda: engine.resume(state), lambda: next(steps), lambda: next(many)]
    for use in (*everything(engine, files), *later):
        with pytest.raises(ImpastoError, match=r"^the engine is closed: make a new one$"):
            use()
    assert workshop_of(engine).compiler._idle is None
    engine.close()  # once more does nothing


def test_an_objective_that_has_expired_says_so(engine: Engine, files: Files) -> None:
    """Its session has the targets of another run."""
    objective, x = engine.objective(files.content, files.style, BASE)
    loss = objective(x).loss
    assert objective(x).loss == loss
    engine.evaluate(files.content, files.content, files.content, BASE)
    with pytest.raises(ImpastoError, match=r"^this objective has expired: .*; call `objective` again$"):
        objective(x)
    again, x = engine.objective(files.content, files.style, BASE)
    assert again(x).loss == loss


@pytest.mark.parametrize("size", [64, 48])
def test_an_objective_is_not_evaluated_while_a_job_runs(engine: Engine, files: Files, gate: Gate, size: int) -> None:
    objective, x = engine.objective(files.content, files.style, BASE)
    handle = engine.submit(job(files, size=size, iterations=2))
    with pytest.raises(ImpastoError, match=r"^the engine is in use: "):
        objective(x)
    gate.open()
    handle.result(LONG_S)
    with pytest.raises(ImpastoError, match=r"^this objective has expired: "):
        objective(x)


def test_an_objective_does_not_outlive_its_engine(files: Files) -> None:
    with opened(files) as engine:
        objective, x = engine.objective(files.content, files.style, BASE)
    with pytest.raises(ImpastoError, match=r"^the engine is closed: "):
        objective(x)


def test_a_listener_cannot_wait_for_a_job(one_at_a_time: Engine, files: Files) -> None:
    """The job would begin after the run that waits for the listener."""
    refused: list[str] = []

    def on_event(event: Event) -> None:
        if refused:
            return
        handle = one_at_a_time.submit(job(files, size=48, iterations=1))
        for wait in (handle.result, handle.wait, lambda: list(handle.events())):
            with pytest.raises(ImpastoError, match=FOR_EVER + ".*; do it after that$") as caught:
                wait()
            refused.append(str(caught.value))
        with pytest.raises(TimeoutError):
            handle.result(timeout_s=0)
        handles.append(handle)

    handles: list[Handle] = []
    one_at_a_time.transfer(files.content, files.style, dataclasses.replace(BASE, iterations=2), on_event=on_event)
    assert len(refused) == 3
    assert handles[0].result(LONG_S).iterations == 1

    def look(event: Event) -> None:
        assert handles[0].result().iterations == 1  # it has ended

    one_at_a_time.transfer(files.content, files.style, dataclasses.replace(BASE, iterations=1), on_event=look)


def test_cancel_is_called_by_the_engine_and_may_not_wait_for_it(engine: Engine, files: Files) -> None:
    refused: list[str] = []
    calls: list[Callable[[], object]] = [
        engine.close,
        lambda: engine.transfer(files.content, files.style, BASE),
        lambda: engine.evaluate(files.content, files.content, files.style, BASE),
        lambda: handles[0].result(),
    ]

    def cancel() -> bool:
        for call in [] if refused or handles[0].state is not JobState.RUNNING else calls:
            with pytest.raises(ImpastoError, match=FOR_EVER + "it was called from cancel, ") as caught:
                call()
            refused.append(str(caught.value))
        seen.append(1)
        return len(seen) > 50

    seen: list[int] = []
    handles: list[Handle] = []
    with engine._scheduler.exclusive():  # until the handle is known
        handles.append(engine.submit(job(files, iterations=100_000), cancel=cancel))
    assert handles[0].result(LONG_S).outcome == "cancelled"
    assert len(refused) == len(calls)


def test_runs_of_steps_that_wait_for_the_caller_leave_room_or_say_so(one_at_a_time: Engine, files: Files) -> None:
    with closing(one_at_a_time.steps(files.content, files.style, BASE)) as events:
        next(events)
        handle = one_at_a_time.submit(job(files, size=48, iterations=1))
        for wait in (
            handle.result,
            lambda: one_at_a_time.transfer(files.content, files.style, BASE),
            lambda: next(one_at_a_time.steps(files.content, files.style, BASE)),
            lambda: one_at_a_time.transfer_many([job(files)]),
        ):
            with pytest.raises(ImpastoError, match=FOR_EVER + "1 runs of `steps` wait for this thread, "):
                wait()
        assert isinstance([next(events) for _ in range(2)][1], Iteration)
    assert handle.result(LONG_S).iterations == 1


def test_two_runs_are_stepped_in_turn(files: Files) -> None:
    """Neither shares evaluations with the other, which waits for the caller."""
    with (
        opened(files, concurrency=2) as engine,
        closing(engine.steps(files.content, files.style, BASE)) as one,
        closing(engine.steps(files.content, files.style, BASE)) as other,
    ):
        pairs = [(next(one), next(other)) for _ in range(4)]
    assert [pair[0].iteration for pair in pairs[1:] if isinstance(pair[0], Iteration)] == [1, 2, 3]
    for first, second in pairs[1:]:
        assert isinstance(first, Iteration)
        assert isinstance(second, Iteration)
        assert first.loss == second.loss


def test_a_thread_that_uses_the_network_is_waited_for(files: Files, gate: Gate) -> None:
    engine = opened(files)
    found: list[float] = []
    images = files.content, files.content, files.style, BASE
    threads = [threading.Thread(target=lambda: found.append(engine.evaluate(*images).loss)) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join(LONG_S)
    assert len(found) == 2
    assert found[0] == found[1]
    engine.close()


def test_closing_waits_for_a_thread_that_uses_the_network(files: Files, gate: Gate) -> None:
    engine = opened(files)
    found: list[float] = []
    images = files.content, files.content, files.style, BASE
    using = threading.Thread(target=lambda: found.append(engine.evaluate(*images).loss))
    using.start()
    gate.wait()
    closer = threading.Thread(target=engine.close)
    closer.start()
    gate.open()
    closer.join(LONG_S)
    using.join(LONG_S)
    assert len(found) == 1
    assert workshop_of(engine).compiler._idle is None


def test_a_method_in_progress_refuses_another_of_its_own_thread(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a handler of a signal."""
    refused: list[str] = []

    def check_memory(*_: object) -> None:
        for use in (engine.close, *uses(engine, files)):
            with pytest.raises(ImpastoError, match=r"^the engine is in use by this very thread: ") as caught:
                use()
            refused.append(str(caught.value))

    with monkeypatch.context() as patched:
        patched.setattr(type(workshop_of(engine).compiler), "check_memory", check_memory)
        engine.check(files.content, files.style, BASE)
    assert len(refused) == 7


def test_a_draft_engine_can_be_used_again(files: Files) -> None:
    full = files.folder / "full.onnx"
    ir.save(features_model(1), full)
    with opened(files) as draft, Engine(full, provider="cpu", threads=1) as second:
        results = [transfer_refined(draft, second, files.content, files.style, BASE, evaluations=2) for _ in range(2)]
        assert workshop_of(draft).compiler._idle is None
    first, again = (result.picture.pixels for result in results)
    np.testing.assert_array_equal(first, again)


def test_an_engine_that_nobody_holds_is_freed(files: Files) -> None:
    engine = opened(files)
    engine.transfer(files.content, files.style, dataclasses.replace(BASE, iterations=2))
    steps = engine.steps(files.content, files.style, BASE)
    next(steps)
    handle = engine.submit(job(files, iterations=1))
    workshop = weakref.ref(workshop_of(engine))
    del engine, steps
    gc.collect()
    assert handle.result(LONG_S).iterations == 1
    del handle
    for thread in threading.enumerate():
        if thread.name == "impasto":
            thread.join(LONG_S)
    gc.collect()
    assert workshop() is None


def test_a_generator_that_the_engine_collects_is_not_waited_for(engine: Engine, files: Files) -> None:
    """Garbage may be collected in any thread, also in that of the engine."""
    steps = [engine.steps(files.content, files.style, BASE)]
    next(steps[0])

    def cancel() -> bool:
        steps.clear()
        return False

    assert engine.submit(job(files, iterations=2), cancel=cancel).result(LONG_S).iterations == 2
    assert steps == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_needs_its_own_engine(engine: Engine, files: Files) -> None:
    engine.transfer(files.content, files.style, dataclasses.replace(BASE, iterations=1))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            engine.submit(job(files))
        except ImpastoError as error:
            status = 0 if str(error).startswith("the engine belongs to the process that forked this one") else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
