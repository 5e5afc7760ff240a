"""A group that starts with one job and grows while others arrive: each result is that of a single run."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from impasto.engine import Engine, ImpastoError, Job
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.places import LoopPlaces
from impasto.engine.jobs.group import LEAST_GROWTH_ITERATIONS
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.job import JobState
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from tests.engine.conftest import Files, offer_device
from tests.engine.jobs.gate import LONG_S, Gate, gate
from tests.engine.jobs.test_many import assert_like_a_single_run, job

__all__ = ["gate"]  # a fixture


@pytest.fixture(params=["host", "device"])
def growing(files: Files, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with Engine(files.model, provider="cpu", threads=1, loop=request.param) as engine:
        yield engine


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples of every evaluator."""
    seen: list[int] = []
    make = Compiler.open

    def spy(self: Compiler, spec: GraphSpec) -> Evaluator:
        seen.append(spec.batch)
        return make(self, spec)

    monkeypatch.setattr(Compiler, "open", spy)
    return seen


def varied(files: Files) -> list[Job]:
    """Jobs of one form that differ in all that a sample holds."""
    return [
        job(files, iterations=60),
        job(files, iterations=40, style_weight=5.0),
        job(files, iterations=50, init="noise", seed=3),
        job(files, iterations=30, init="style", content_weight=1e-4),
    ]


def assert_all_like_single_runs(engine: Engine, handles: list[Handle], jobs: list[Job], loop: str) -> None:
    for handle, one in zip(handles, jobs, strict=True):
        result = handle.result(LONG_S)
        assert result.loop == loop
        assert (result.iterations, result.outcome) == (one.settings.iterations, "iterations_done")
        single = engine.transfer(one.content, one.style, one.settings)
        assert result.loss == pytest.approx(single.loss, rel=0.02)  # rounding grows over many iterations
        assert dict(result.initial_terms) == pytest.approx(dict(single.initial_terms), rel=1e-5)


@pytest.mark.parametrize("steps", [(5, 4, 3), (0, 0, 0), (1, 0, 6)])
def test_a_batch_grows_as_jobs_arrive(
    growing: Engine, files: Files, gate: Gate, opened: list[int], steps: tuple[int, ...]
) -> None:
    jobs = varied(files)
    handles = []
    for one, count in zip(jobs, (*steps, 1), strict=True):
        handles.append(growing.submit(one, batch=4))
        gate.wait()
        gate.step(count)
    gate.step(3)
    assert [handle.state for handle in handles] == [JobState.RUNNING] * 4
    gate.open()
    loop = growing._workshop.placement.loop
    for handle in handles:
        handle.result(LONG_S)
    assert opened == [1, 2, 4]
    assert_all_like_single_runs(growing, handles, jobs, loop)


def test_the_first_steps_after_growth_are_those_of_a_single_run(growing: Engine, files: Files, gate: Gate) -> None:
    """Early on rounding has not grown yet."""
    jobs = [job(files, iterations=25), job(files, iterations=12, seed=1, init="noise")]
    first = growing.submit(jobs[0], batch=2)
    gate.step(4)
    second = growing.submit(jobs[1], batch=2)
    gate.open()
    for handle, one in zip((first, second), jobs, strict=True):
        assert_like_a_single_run(handle.result(LONG_S), growing.transfer(one.content, one.style, one.settings))


@pytest.mark.parametrize("loop", ["host", "device"])
def test_float16_keeps_its_factors_when_the_batch_grows(files: Files, gate: Gate, loop: str) -> None:
    narrow = dataclasses.replace(providers.choose("cpu"), precision="fp16", typed=True)
    weights = (1e-9, 1.0, 1e9)
    jobs = [job(files, style_weight=weight, content_weight=1e-5 * weight, iterations=25) for weight in weights]
    with Engine(files.model, provider=narrow, threads=1, loop=loop) as engine:
        handles = []
        for one in jobs:
            handles.append(engine.submit(one, batch=4))
            gate.step(2)
        gate.open()
        for handle, one in zip(handles, jobs, strict=True):
            result = handle.result(LONG_S)
            single = engine.transfer(one.content, one.style, one.settings)
            assert result.loss == pytest.approx(single.loss, rel=0.1)
            assert result.iterations == 25
        assert engine.provider.precision == "fp16"


def test_no_larger_session_is_made_for_the_last_steps(
    growing: Engine, files: Files, gate: Gate, opened: list[int]
) -> None:
    few = job(files, iterations=LEAST_GROWTH_ITERATIONS)
    first = growing.submit(few, batch=4)
    gate.step(2)
    second = growing.submit(few, batch=4)
    gate.open()
    first.result(LONG_S)
    second.result(LONG_S)
    assert opened in ([1], [1, 1])


def refuse(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], allowed: int = 0) -> None:
    """Have sessions of these sizes not open, but for the first ones."""
    make, left = Compiler.open, [allowed]

    def refusing(self: Compiler, spec: GraphSpec) -> Evaluator:
        if spec.batch in sizes:
            left[0] -= 1
            if left[0] < 0:
                raise ImpastoError("the GPU's memory is full")
        return make(self, spec)

    monkeypatch.setattr(Compiler, "open", refusing)


def test_where_the_larger_session_does_not_open_the_jobs_continue(
    growing: Engine, files: Files, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, (2,))
    jobs = varied(files)[:2]
    handles = []
    for one in jobs:
        handles.append(growing.submit(one, batch=2))
        gate.step(3)
    gate.open()
    assert_all_like_single_runs(growing, handles, jobs, growing._workshop.placement.loop)


def test_where_no_session_opens_again_the_group_fails_and_no_other_job(
    growing: Engine, files: Files, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, (1, 2), allowed=2)
    other = growing.submit(job(files, size=48, iterations=30), batch=1)
    gate.step(2)
    first = growing.submit(job(files, iterations=60), batch=2)
    gate.step(4)
    monkeypatch.undo()  # the gate is gone as well
    refuse(monkeypatch, (1, 2))
    second = growing.submit(job(files, iterations=30), batch=2)
    gate.open()
    with pytest.raises(ImpastoError, match="the GPU's memory is full"):
        first.result(LONG_S)
    with pytest.raises(ImpastoError, match="the GPU's memory is full"):
        second.result(LONG_S)
    assert other.result(LONG_S).iterations == 30
    monkeypatch.undo()
    assert growing.submit(job(files, iterations=2), batch=2).result(LONG_S).iterations == 2


@pytest.mark.parametrize("demanded", [True, False])
def test_a_larger_loop_that_does_not_open_leaves_the_jobs_in_the_smaller_one(
    files: Files, gate: Gate, monkeypatch: pytest.MonkeyPatch, demanded: bool
) -> None:
    make = DeviceLoop.__init__

    def opening(self: DeviceLoop, session: object, provider: object, form: object, *more: object) -> None:
        if form.batch == 2:  # type: ignore[attr-defined]
            raise ImpastoError("the history does not fit")
        make(self, session, provider, form, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(DeviceLoop, "__init__", opening)
    if not demanded:
        offer_device(monkeypatch)
    jobs = varied(files)[:2]
    with Engine(files.model, provider="cpu", threads=1, loop="device") as engine:
        handles = []
        for one in jobs:
            handles.append(engine.submit(one, batch=2))
            gate.step(3)
        gate.open()
        assert_all_like_single_runs(engine, handles, jobs, "device")


def test_a_group_whose_loop_was_stopped_grows_on_the_host(
    files: Files, gate: Gate, monkeypatch: pytest.MonkeyPatch, opened: list[int]
) -> None:
    offer_device(monkeypatch)
    jobs = varied(files)[:3]
    with Engine(files.model, provider="cpu", threads=1, loop="device") as engine:
        handles = [engine.submit(jobs[0], batch=4)]
        gate.step(3)
        stop = LoopPlaces.state

        def failing(self: LoopPlaces, sample: int) -> dict[str, np.ndarray]:
            self.stop("the GPU's memory is full")
            return stop(self, sample)

        monkeypatch.setattr(LoopPlaces, "state", failing)
        for one in jobs[1:]:
            handles.append(engine.submit(one, batch=4))
            gate.step(3)
        gate.open()
        for handle, one in zip(handles, jobs, strict=True):
            result = handle.result(LONG_S)
            assert result.iterations == one.settings.iterations
            assert result.loss < sum(result.initial_terms.values())
