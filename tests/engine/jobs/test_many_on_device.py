"""Many transfers at once with their optimisers on the device: the results of single runs there."""

import dataclasses
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, Job, PrecisionChanged, Started
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.device.loop import DeviceLoop
from impasto.engine.jobs.run import Run
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.session import Session
from impasto.export.optimiser import REPORTED, Code
from tests.engine import command_line
from tests.engine.conftest import Files, offer_device
from tests.engine.jobs.test_many import assert_like_a_single_run, job, mixed


def opened(files: Files, every: int = 1, provider: str | providers.Provider = "cpu") -> Engine:
    return Engine(files.model, provider=provider, threads=1, loop="device", report_every=every)


@pytest.fixture
def engine(files: Files) -> Iterator[Engine]:
    with opened(files) as engine:
        yield engine


@pytest.mark.parametrize(("batch", "every"), [(1, 1), (2, 1), (2, 4), (3, 1), (3, 7)])
def test_each_result_is_that_of_a_single_run(files: Files, batch: int, every: int) -> None:
    jobs = [*mixed(files), job(files, init="style"), job(files, bounded=False, iterations=3), job(files, init="noise")]
    with opened(files, every) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=batch)}
    assert sorted(found) == list(range(len(jobs)))
    with opened(files) as engine:
        for index, one in enumerate(jobs):
            result = found[index]
            assert result is not None
            assert_like_a_single_run(result, engine.transfer(one.content, one.style, one.settings))


def test_evaluations_are_shared_and_nothing_but_the_log_is_read(
    files: Files, engine: Engine, device_steps: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[None] = []
    fetch = Session.run

    def run(self: Session) -> object:
        fetched.append(None)
        return fetch(self)

    jobs = [job(files, iterations=count) for count in (2, 9, 2, 2)]
    list(engine.transfer_many(jobs[:1]))  # its targets are known from here on
    device_steps.clear()
    monkeypatch.setattr(Session, "run", run)
    done = [item.index for item in engine.transfer_many(jobs, batch=2)]
    assert done == [0, 2, 3, 1]
    assert device_steps == [(2, 1)] * 10
    assert len(fetched) <= 8  # the targets of four jobs


def test_the_host_looks_at_all_of_them_now_and_then(files: Files, device_steps: list[tuple[int, int]]) -> None:
    jobs = [job(files, iterations=9), job(files, iterations=9, evaluations=6)]
    with opened(files, every=4) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=2)}
    assert device_steps == [(2, 4), (2, 2), (2, 4)]  # 6 for the second; then what is left of the first
    first, second = found[0], found[1]
    assert first is not None
    assert second is not None
    assert (first.evaluations, first.outcome) == (10, "iterations_done")
    assert (second.evaluations, second.outcome) == (6, "evaluations_done")


def test_jobs_whose_optimisers_differ_have_their_turn_afterwards(
    files: Files, engine: Engine, device_steps: list[tuple[int, int]]
) -> None:
    jobs = [job(files, history=history, iterations=2) for history in (10, 3, 10, 3, 10)]
    done = [item.index for item in engine.transfer_many(jobs, batch=3)]
    assert done == [0, 2, 4, 1, 3]
    assert device_steps == [(3, 1)] * 3 + [(2, 1)] * 3


def test_events_have_the_image_of_their_job(files: Files, engine: Engine) -> None:
    jobs = [job(files, iterations=3), job(files, iterations=5, seed=2, init="noise"), job(files, iterations=2)]
    seen: dict[int, list[Event]] = {index: [] for index in range(len(jobs))}
    last: dict[int, np.ndarray] = {}

    def on_event(index: int, told: Job, event: Event) -> None:
        assert told is jobs[index]
        seen[index].append(event)
        if isinstance(event, Iteration):
            last[index] = event.snapshot()

    for item in engine.transfer_many(jobs, batch=2, on_event=on_event):
        assert item.result is not None
        np.testing.assert_array_equal(last[item.index], item.result.picture.pixels)
    for index, one in enumerate(jobs):
        first, *rest = seen[index]
        assert isinstance(first, Started)
        counts = [event.iteration for event in rest if isinstance(event, Iteration)]
        assert counts == list(range(1, one.settings.iterations + 1))


def test_float16_keeps_a_factor_for_every_sample_when_another_enters(files: Files) -> None:
    narrow = dataclasses.replace(providers.choose("cpu"), precision="fp16", typed=True)
    weights = (1e-9, 1.0, 1e9, 1e-9, 1e6)
    jobs = [
        job(files, style_weight=weight, content_weight=1e-5 * weight, iterations=4 + 3 * index)
        for index, weight in enumerate(weights)
    ]
    with opened(files, every=2, provider=narrow) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=2)}
        assert engine.provider.precision == "fp16"
        for index, one in enumerate(jobs):
            result = found[index]
            assert result is not None
            single = engine.transfer(one.content, one.style, one.settings)
            assert result.loss == pytest.approx(single.loss, rel=2e-2)
            assert (result.iterations, result.evaluations) == (single.iterations, single.evaluations)


def failing(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Have a loop's run fail at a call."""
    run, calls = DeviceLoop.run, []

    def fail(self: DeviceLoop, count: int) -> np.ndarray:
        calls.append(count)
        if len(calls) == call:
            raise ImpastoError("the GPU's memory is full")
        return run(self, count)

    monkeypatch.setattr(DeviceLoop, "run", fail)


@pytest.mark.parametrize("call", [1, 3])
def test_a_loop_that_fails_on_the_way_goes_on_on_the_host(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    offer_device(monkeypatch)
    failing(monkeypatch, call)
    jobs = [job(files, iterations=count) for count in (6, 9, 4)]
    found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
    for index, one in enumerate(jobs):
        result = found[index].result
        assert result is not None
        assert (result.iterations, result.outcome) == (one.settings.iterations, "iterations_done")
        assert result.loss < sum(result.initial_terms.values())


def test_a_loop_that_was_asked_for_and_fails_takes_its_jobs_with_it(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 2)
    jobs = [*(job(files, iterations=count) for count in (6, 9, 4)), job(files, history=3, iterations=2)]
    found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
    assert [str(found[index].error) for index in range(2)] == ["the GPU's memory is full"] * 2
    assert all(found[index].result is not None for index in (2, 3))  # neither was in that loop


def test_a_loop_that_does_not_take_an_image_lets_all_go_on_on_the_host(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_device(monkeypatch)
    enter, calls = DeviceLoop.enter, []

    def fail(self: DeviceLoop, *values: object) -> None:
        calls.append(values[0])
        if len(calls) == 3:
            raise ImpastoError("the GPU's memory is full")
        enter(self, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(DeviceLoop, "enter", fail)
    jobs = [job(files, iterations=count) for count in (3, 9, 4, 2)]
    found = {item.index: item.result for item in engine.transfer_many(jobs, batch=2)}
    assert calls == [0, 1, 0]
    assert [(result.iterations, result.loop) for _, result in sorted(found.items()) if result is not None] == [
        (3, "device"),
        (9, "host"),
        (4, "host"),
        (2, "host"),
    ]


def test_where_one_goes_over_to_the_host_all_do(files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would wait until nobody uses the loop."""
    offer_device(monkeypatch)
    advance, calls = Run.advance, []

    def fail(self: Run, *values: object) -> None:
        calls.append(self.surroundings.sample)
        if calls.count(1) == 4 and self.surroundings.sample == 1:
            self.fail(ImpastoError("the optimiser's step has no effect"))
        else:
            advance(self, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "advance", fail)
    jobs = [job(files, iterations=count) for count in (30, 9, 5)]
    found = [(item.index, item.result) for item in engine.transfer_many(jobs, batch=2)]
    assert [index for index, _ in found] == [1, 2, 0]
    assert [result and (result.iterations, result.loop) for _, result in found] == [
        (9, "host"),
        (5, "host"),
        (30, "host"),
    ]


@pytest.fixture
def overflowing(monkeypatch: pytest.MonkeyPatch) -> providers.Provider:
    """A provider in bf16, for which the CPU's stands in; its loops overflow in the last place, at their sixth run."""
    plain = providers.choose("cpu")
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    run, make, runs = DeviceLoop.run, DeviceLoop.__init__, Counter[int]()

    def opening(self: DeviceLoop, evaluation: Session, provider: providers.Provider, *more: object) -> None:
        make(self, evaluation, provider, *more)  # type: ignore[arg-type]
        self.narrow = evaluation._provider.precision == "bf16"  # type: ignore[attr-defined]

    def overflow(self: DeviceLoop, count: int) -> np.ndarray:
        rows = run(self, count)
        runs[id(self)] += 1
        if self.narrow and runs[id(self)] == 6:  # type: ignore[attr-defined]
            rows[-1, -1, REPORTED.index("code")] = Code.NON_FINITE_STEP
        return rows

    monkeypatch.setattr(DeviceLoop, "__init__", opening)
    monkeypatch.setattr(DeviceLoop, "run", overflow)
    return dataclasses.replace(plain, precision="bf16")  # float32 all the same


def test_a_job_that_is_not_finite_goes_on_from_its_last_image(files: Files, overflowing: providers.Provider) -> None:
    told: list[tuple[int, str, str, int]] = []
    iterations: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def on_event(index: int, _: Job, event: Event) -> None:
        if isinstance(event, PrecisionChanged):
            told.append((index, event.before, event.after, event.iteration))
        if isinstance(event, Iteration):
            iterations[index].append(event.iteration)

    jobs = [job(files, iterations=9), job(files, iterations=12, timeout_s=60), job(files, iterations=3)]
    with opened(files, provider=overflowing) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=2, on_event=on_event)}
    ((index, before, after, last),) = told
    assert (index, before, after) == (1, "bf16", "fp32")
    assert last > 0
    assert {index: result and result.iterations for index, result in found.items()} == {0: 9, 1: 12, 2: 3}
    assert iterations == {0: [*range(1, 10)], 1: [*range(1, 13)], 2: [1, 2, 3]}
    ended = found[1]
    assert ended is not None
    assert ended.provenance["precision"] == "fp32"
    assert ended.loss < sum(ended.initial_terms.values())


def test_a_job_that_waits_for_a_safer_precision_ends_with_what_it_has_where_all_are_cancelled(
    files: Files, overflowing: providers.Provider
) -> None:
    steps: Counter[int] = Counter()
    jobs = [job(files, iterations=30), job(files, iterations=30)]
    with opened(files, provider=overflowing) as engine:
        found = {
            item.index: item.result
            for item in engine.transfer_many(
                jobs, batch=2, on_event=lambda index, *_: steps.update([index]), cancel=lambda: steps[0] > 9
            )
        }
        assert engine.provider.precision == "bf16"
    first, second = found[0], found[1]
    assert first is not None
    assert second is not None
    assert (first.outcome, second.outcome) == ("cancelled", "cancelled")
    assert 0 < second.iterations < first.iterations < 30


@pytest.mark.parametrize("batch", [None, 2])
def test_the_loop_is_gone_before_the_safer_precision_takes_memory(
    files: Files, overflowing: providers.Provider, monkeypatch: pytest.MonkeyPatch, batch: int | None
) -> None:
    loops: list[weakref.ref[DeviceLoop]] = []
    there: list[bool] = []
    make, open_ = DeviceLoop.__init__, Compiler.open

    def opening(self: DeviceLoop, *values: object) -> None:
        loops.append(weakref.ref(self))
        make(self, *values)  # type: ignore[arg-type]

    def compiling(self: Compiler, spec: GraphSpec) -> Evaluator:
        there.append(any(loop() is not None for loop in loops))
        return open_(self, spec)

    monkeypatch.setattr(DeviceLoop, "__init__", opening)
    monkeypatch.setattr(Compiler, "open", compiling)
    one = job(files, iterations=9)
    with opened(files, provider=overflowing) as engine:
        if batch is None:
            result = engine.transfer(one.content, one.style, one.settings)
        else:
            results = [item.result for item in engine.transfer_many([one, one], batch=batch)]
            result = next(item for item in results if item is not None and item.provenance["precision"] == "fp32")
    assert result.iterations == 9
    assert len(loops) == 2
    assert there == [False, False]


@pytest.mark.parametrize("demanded", [True, False])
def test_a_step_that_does_not_open(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch, demanded: bool
) -> None:
    def broken(*_: object) -> None:
        raise ImpastoError("the step does not run here")

    monkeypatch.setattr("impasto.engine.device.step_form.DeviceLoop", broken)
    if not demanded:
        offer_device(monkeypatch)
    found = list(engine.transfer_many([job(files, iterations=3), job(files, iterations=2)], batch=2))
    assert [item.error is None for item in found] == [not demanded] * 2
    assert not demanded or {str(item.error) for item in found} == {"the step does not run here"}


def test_from_the_command_line(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "jobs.csv"
    rows = [f"{files.content},{files.style},{name}.png,{count}" for name, count in (("a", 2), ("b", 4), ("c", 3))]
    manifest.write_text("\n".join(["content,style,output,iterations", *rows]) + "\n")
    command = ["batch", manifest, "-o", tmp_path / "out", "--model", files.model, "--provider", "cpu", "--quiet"]
    command += ["--set", "size=0", "--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1"]
    ended = command_line.run(capsys, *command, "--batch", 2, "--loop", "device")
    assert (ended.status, ended.err) == (0, "")
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"a.png", "b.png", "c.png"}
    refused = command_line.run(capsys, *command, "--loop", "gpu")
    assert refused.status == 2
    assert refused.err == "error: unknown loop 'gpu': allowed are auto, host, device\n"
