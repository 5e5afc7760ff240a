"""A run that continues from a state ends as one that never stopped: the same bits, on the CPU provider."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import (
    Engine,
    Event,
    ImpastoError,
    Iteration,
    Job,
    PrecisionChanged,
    Result,
    Settings,
    Started,
    content_reconstruction,
    style_reconstruction,
)
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from impasto.engine.inputs.run_state import RunState
from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from tests.engine.conftest import Files
from tests.small_network import features_model

TAPS: dict[str, Any] = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1=0.5")}
SETTINGS = Settings(size=48, iterations=14, content_weight=1e-5, **TAPS)
AT = (1, 4, 9, 13, 14)


def changed(**values: Any) -> Settings:
    return dataclasses.replace(SETTINGS, **values)


CASES: dict[str, Settings] = {
    "lbfgs": SETTINGS,
    "short history": changed(history=2),
    "plain-lbfgs": changed(optimizer="plain-lbfgs"),
    "adam": changed(optimizer="adam"),
    "adam, average": changed(optimizer="adam", average=0.9),
    "adam, average, noise, unbounded": changed(optimizer="adam", average=0.99, init="noise", bounded=False),
    "noise": changed(init="noise", seed=3),
    "adam, noise, unbounded": changed(optimizer="adam", init="noise", bounded=False),
    "unbounded": changed(bounded=False),
    "evaluations": changed(evaluations=12, init="noise"),
    "seamless": changed(seamless=True, size=64),
    "padding": changed(padding="replicate"),
    "total variation": changed(tv_weight=0.01, weighting="calibrated", content_weight=0.1),
    "content reconstruction": content_reconstruction(["relu2_1"], size=48, iterations=14),
    "style reconstruction": style_reconstruction(TAPS["style_taps"], canvas=(64, 48), iterations=14),
    "texture": style_reconstruction(TAPS["style_taps"], canvas=(64, 48), iterations=14, seamless=True),
}


def images(files: Files, settings: Settings) -> tuple[Path | None, Path | None]:
    return (files.content if settings.active_content_taps else None), (
        files.style if settings.active_style_taps else None
    )


def opened(files: Files, loop: str = "host", **more: Any) -> Engine:
    return Engine(files.model, provider="cpu", threads=1, loop=loop, **more)


@pytest.fixture
def engine(files: Files) -> Iterator[Engine]:
    with opened(files) as engine:
        yield engine


class Kept:
    """The state of every iteration, and what was told of it."""

    def __init__(self) -> None:
        self.states: dict[int, RunState] = {}
        self.seen: dict[int, tuple[int, float]] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Iteration):
            self.states[event.iteration] = event.state()
            self.seen[event.iteration] = (event.evaluations, event.loss)


def assert_same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.picture.pixels, other.picture.pixels, strict=True)
    assert (one.loss, one.terms, one.initial_terms) == (other.loss, other.terms, other.initial_terms)
    assert (one.iterations, one.evaluations, one.outcome) == (other.iterations, other.evaluations, other.outcome)
    assert (one.loop, one.message) == (other.loop, other.message)
    assert {**one.provenance} == {**other.provenance}


def through_a_file(state: RunState, folder: Path) -> RunState:
    save_checkpoint(state, folder / "run.safetensors")
    return load_checkpoint(folder / "run.safetensors")[0]


@pytest.mark.parametrize("name", CASES)
def test_the_rest_of_a_run_is_the_same(files: Files, name: str) -> None:
    settings, kept = CASES[name], Kept()
    with opened(files) as engine:
        whole = engine.transfer(*images(files, settings), settings, on_event=kept)
    assert len(kept.states) == whole.iterations
    for at in sorted({*AT, max(kept.states)} & set(kept.states)):
        rest = Kept()
        with opened(files) as engine:
            result = engine.resume(through_a_file(kept.states[at], files.folder), on_event=rest)
        assert_same(result, whole)
        assert rest.seen == {number: seen for number, seen in kept.seen.items() if number > at}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", ["lbfgs", "plain-lbfgs", "noise", "content reconstruction", "evaluations"])
def test_with_the_loop_on_the_device(files: Files, name: str, every: int) -> None:
    settings, kept = CASES[name], Kept()
    with opened(files, "device", report_every=every) as engine:
        whole = engine.transfer(*images(files, settings), settings, on_event=kept)
    assert whole.loop == "device"
    for at in AT[:4]:
        if at in kept.states:
            with opened(files, "device", report_every=every) as engine:
                assert_same(engine.resume(through_a_file(kept.states[at], files.folder)), whole)


def test_a_run_can_be_resumed_twice(files: Files, engine: Engine) -> None:
    first, second = Kept(), Kept()
    whole = engine.transfer(files.content, files.style, SETTINGS, on_event=first)
    engine.resume(first.states[3], on_event=second)
    for at, state in second.states.items():
        assert state.iteration == at
        assert state.initial_terms == whole.initial_terms
    assert_same(engine.resume(second.states[8]), whole)


@pytest.mark.parametrize("loop", ["host", "device"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_more_iterations_are_those_of_a_run_asked_for_that_many(files: Files, optimizer: str, loop: str) -> None:
    longer = changed(optimizer=optimizer)
    shorter = dataclasses.replace(longer, iterations=6)
    with opened(files, loop) as engine:
        whole = engine.transfer(files.content, files.style, longer)
        start = engine.transfer(files.content, files.style, shorter, keep_state=True)
        assert start.state is not None
        assert (start.state.iteration, start.outcome) == (6, "iterations_done")
        assert_same(engine.resume(start.state, longer), whole)


def test_more_evaluations(files: Files, engine: Engine) -> None:
    whole = engine.transfer(files.content, files.style, SETTINGS)
    start = engine.transfer(files.content, files.style, changed(evaluations=7), keep_state=True)
    assert start.state is not None
    assert_same(engine.resume(start.state, SETTINGS), whole)


@pytest.mark.parametrize("loop", ["host", "device"])
def test_a_run_at_its_end_stays_there(files: Files, loop: str) -> None:
    with opened(files, loop) as engine:
        whole = engine.transfer(files.content, files.style, SETTINGS, keep_state=True)
        assert whole.state is not None
        again = engine.resume(whole.state, keep_state=True)
        assert_same(again, whole)
        assert again.state is not None
        fewer = engine.resume(whole.state, changed(iterations=3))
        assert (fewer.iterations, fewer.outcome) == (14, "iterations_done")
        np.testing.assert_array_equal(fewer.picture.pixels, whole.picture.pixels)
        spent = engine.resume(whole.state, changed(iterations=20, evaluations=2))
        assert (spent.evaluations, spent.outcome) == (whole.evaluations, "evaluations_done")


def test_a_result_holds_no_state_unless_it_is_wanted(files: Files, engine: Engine) -> None:
    assert engine.transfer(files.content, files.style, changed(iterations=2)).state is None


@pytest.mark.parametrize("loop", ["host", "device"])
def test_the_state_of_a_cancelled_run_is_that_of_its_picture(files: Files, loop: str) -> None:
    seen: list[int] = []

    def cancel() -> bool:
        seen.append(1)
        return len(seen) > 6

    with opened(files, loop) as engine:
        whole = engine.transfer(files.content, files.style, SETTINGS)
        stopped = engine.transfer(files.content, files.style, SETTINGS, cancel=cancel, keep_state=True)
        assert stopped.outcome == "cancelled"
        assert stopped.state is not None
        assert stopped.state.iteration == stopped.iterations < 14
        assert stopped.state.loss == stopped.loss
        height, width = stopped.picture.pixels.shape[:2]
        planes = stopped.state.optimiser["x"].reshape(3, height, width)
        np.testing.assert_array_equal(planes.transpose(1, 2, 0), stopped.picture.pixels)
        assert_same(engine.resume(stopped.state), whole)


@pytest.mark.parametrize("loop", ["host", "device"])
def test_from_a_batch_of_three(files: Files, loop: str) -> None:
    jobs = [Job(files.content, files.style, changed(seed=seed, init="noise")) for seed in range(3)]
    kept = [Kept() for _ in jobs]
    with opened(files, loop) as engine:
        ended = engine.transfer_many(jobs, batch=3, on_event=lambda index, job, event: kept[index](event))
        results = {item.index: item.result for item in ended}
        for index, one in enumerate(kept):
            again = [Job(None, None, one.states[5].settings, state=one.states[5])]
            (finished,) = engine.transfer_many([*again], batch=3)
            whole = results[index]
            assert whole is not None
            assert finished.result is not None
            single = engine.transfer(files.content, files.style, jobs[index].settings)
            assert finished.result.iterations == whole.iterations
            assert finished.result.loss == pytest.approx(single.loss, rel=1e-3)
        states = [Job(None, None, one.states[5].settings, state=one.states[5]) for one in kept]
        for item in engine.transfer_many(states, batch=3):
            whole = results[item.index]
            assert item.result is not None
            assert whole is not None
            assert_same(item.result, whole)


@pytest.mark.parametrize("before", ["host", "device"])
def test_at_the_other_place_a_run_continues_from_its_image(files: Files, before: str) -> None:
    kept, rest = Kept(), Kept()
    after = "device" if before == "host" else "host"
    with opened(files, before) as engine:
        engine.transfer(files.content, files.style, SETTINGS, on_event=kept)
    with opened(files, after) as engine:
        result = engine.resume(kept.states[5], on_event=rest)
    assert (result.loop, result.iterations, result.outcome) == (after, 14, "iterations_done")
    assert list(rest.seen) == list(range(6, 15))
    assert result.loss < kept.states[5].loss
    assert result.evaluations > kept.states[5].evaluations + 9


def narrow_until(monkeypatch: pytest.MonkeyPatch, good: int) -> providers.Provider:
    """Return a provider that calls itself bf16 and whose losses are NaN after so many evaluations."""
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16")
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    evaluate, seen = Evaluator.__call__, [0]

    def call(self: Evaluator, images: dict[int, Vector]) -> dict[int, Score]:
        scores = evaluate(self, images)
        seen[0] += 1
        bad = seen[0] > good and engine_of[0].provider.precision == "bf16"
        return {key: dataclasses.replace(score, loss=np.nan if bad else score.loss) for key, score in scores.items()}

    monkeypatch.setattr(Evaluator, "__call__", call)
    return narrow


engine_of: list[Engine] = []


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("style", ["image", "saved"])
def test_after_a_change_of_precision(files: Files, monkeypatch: pytest.MonkeyPatch, optimizer: str, style: str) -> None:
    narrow, kept, painting = narrow_until(monkeypatch, 6), Kept(), files.style
    events: list[Event] = []

    def follow(event: Event) -> None:
        events.append(event)
        kept(event)

    with Engine(files.model, provider=narrow, threads=1) as engine:
        engine_of[:] = [engine]
        if style == "saved":
            painting = files.folder / "style.safetensors"
            engine.save_style(files.style, painting, SETTINGS)
        whole = engine.transfer(files.content, painting, changed(optimizer=optimizer), on_event=follow)
    (change,) = [event for event in events if isinstance(event, PrecisionChanged)]
    assert 0 < change.iteration < 9
    later = [at for at, state in kept.states.items() if state.precision == "fp32"]
    assert later == list(range(change.iteration + 1, 15))
    for at in (later[0], later[3]):
        with opened(files) as engine:
            engine_of[:] = [engine]
            assert_same(engine.resume(through_a_file(kept.states[at], files.folder)), whole)
    with opened(files) as engine:  # losses of another precision do not compare
        engine_of[:] = [engine]
        result = engine.resume(kept.states[change.iteration])
        assert (result.iterations, result.provenance["precision"]) == (14, "fp32")


def test_another_network_is_refused(files: Files, engine: Engine) -> None:
    kept = Kept()
    engine.transfer(files.content, files.style, changed(iterations=2), on_event=kept)
    ir.save(features_model(seed=1), files.folder / "other.onnx")
    with (
        Engine(files.folder / "other.onnx", provider="cpu", threads=1) as other,
        pytest.raises(ImpastoError, match=r"^this run is on network small \(\w{8}\), and the engine has other"),
    ):
        other.resume(kept.states[1])


@pytest.mark.parametrize("name", ["content_weight", "optimizer", "size", "bounded", "history", "seed"])
def test_only_limits_may_change(files: Files, engine: Engine, name: str) -> None:
    kept = Kept()
    engine.transfer(files.content, files.style, changed(iterations=2), on_event=kept)
    values = {"content_weight": 3.0, "optimizer": "adam", "size": 64, "bounded": False, "history": 5, "seed": 9}
    with pytest.raises(ImpastoError, match=f"^a run continues with its own settings: its {name} is "):
        engine.resume(kept.states[1], changed(**{name: values[name]}))


def test_a_timeout_counts_the_seconds_before(files: Files, engine: Engine) -> None:
    kept = Kept()
    engine.transfer(files.content, files.style, changed(iterations=3), on_event=kept)
    state = dataclasses.replace(kept.states[2], seconds=1000.0)
    over = engine.resume(state, changed(timeout_s=1000.0), keep_state=True)
    assert (over.outcome, over.iterations, over.evaluations) == ("deadline", 2, state.evaluations)
    assert over.state is not None
    assert over.seconds > 1000
    start = time.perf_counter()
    soon = engine.resume(state, changed(timeout_s=1001.5, iterations=1_000_000))
    assert (soon.outcome, soon.iterations > 2) == ("deadline", True)
    assert time.perf_counter() - start < 30
    assert engine.resume(state, changed(timeout_s=2000.0)).outcome == "iterations_done"


def test_seconds_count_on(files: Files, engine: Engine) -> None:
    kept = Kept()
    engine.transfer(files.content, files.style, changed(iterations=4), on_event=kept)
    state = dataclasses.replace(kept.states[2], seconds=77.0)
    events: list[Event] = []
    result = engine.resume(state, on_event=events.append)
    seen = [event.seconds for event in events if isinstance(event, Iteration)]
    assert 77 < seen[0] < seen[-1] <= result.seconds < 140
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.setup_s < 60


@pytest.mark.parametrize("loop", ["host", "device"])
def test_a_state_is_had_from_another_thread_at_any_moment(files: Files, loop: str) -> None:
    settings = changed(iterations=60, init="noise")
    with opened(files, loop, report_every=7) as engine:
        whole = engine.transfer(files.content, files.style, settings)
        states: dict[int, RunState] = {}
        handle = engine.submit(Job(files.content, files.style, settings))
        with pytest.raises(ImpastoError, match="no state to continue from"):
            handle.run_state()
        found = threading.Thread(target=lambda: collect(handle.run_state, states, handle.wait))
        found.start()
        handle.wait()
        found.join()
        with pytest.raises(ImpastoError, match="no state to continue from: the job is done"):
            handle.run_state()
        assert len(states) > 1
        for state in list(states.values())[:: max(len(states) // 4, 1)]:
            result = engine.resume(state, settings)
            np.testing.assert_array_equal(result.picture.pixels, whole.picture.pixels)
            assert (result.loss, result.evaluations) == (whole.loss, whole.evaluations)


def collect(take: Callable[[], RunState], states: dict[int, RunState], wait: Callable[[], None]) -> None:
    ended = threading.Event()

    def tell() -> None:
        wait()
        ended.set()

    threading.Thread(target=tell).start()
    while not ended.is_set():
        try:
            state = take()
        except ImpastoError:
            continue
        states[state.iteration] = state


def test_an_engine_closes_although_nobody_asks_for_the_next_event(files: Files) -> None:
    with opened(files) as engine:
        steps = engine.steps(files.content, files.style, SETTINGS)
        assert isinstance(next(steps), Started)
    steps.close()
