"""A run with several scales that continues from a state ends as one that never stopped: the same bits."""

import dataclasses
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, ImpastoError, Iteration, Job, Settings
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from impasto.engine.inputs.run_state import RunState
from tests.engine.conftest import Files
from tests.engine.jobs.scale_runs import ENDS, SIZES, Followed, assert_same, changed, opened, three
from tests.engine.jobs.test_resume import collect

__all__ = ["three"]  # a fixture
pytestmark = pytest.mark.usefixtures("three")

CASES: dict[str, Settings] = {
    "lbfgs": changed(),
    "plain-lbfgs, short history": changed(optimizer="plain-lbfgs", history=2),
    "adam": changed(optimizer="adam"),
    "adam, noise, unbounded": changed(optimizer="adam", init="noise", bounded=False),
    "adam, averaged": changed(optimizer="adam", average=0.9),
    "noise": changed(init="noise", seed=3),
    "evaluations": changed(evaluations=13, iterations=100),
    "two scales": changed(scales=2),
    "seamless": changed(seamless=True),
    "total variation": changed(tv_weight=0.01, weighting="johnson", content_weight=5.0, style_weight=100.0),
}


def through_a_file(state: RunState, folder: Path) -> RunState:
    save_checkpoint(state, folder / "run.safetensors")
    found = load_checkpoint(folder / "run.safetensors")[0]
    assert (found.scale, found.scales_done) == (state.scale, state.scales_done)
    return found


@pytest.mark.parametrize("name", CASES)
def test_from_any_iteration_of_any_scale(files: Files, name: str) -> None:
    """The ends of the scales, their first iterations, and others at random."""
    settings, seen = CASES[name], Followed()
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, settings, on_event=seen)
    assert list(seen.states) == list(range(1, whole.iterations + 1))
    ends = [event.iteration for event in seen.scales]
    rng = random.Random(name)  # noqa: S311
    chosen = {1, *ends[1:], *(end + 1 for end in ends), whole.iterations, *rng.sample(sorted(seen.states), 3)}
    for at in sorted(chosen):
        rest = Followed()
        with opened(files) as engine:
            result = engine.resume(through_a_file(seen.states[at], files.folder), on_event=rest)
        assert_same(result, whole)
        assert rest.seen == {number: one for number, one in seen.seen.items() if number > at}
        assert [event.scale for event in rest.scales][1:] == [
            event.scale for event in seen.scales if event.iteration > seen.scales[rest.scales[0].scale - 1].iteration
        ]


@pytest.mark.parametrize("every", [1, 3])
def test_with_the_loop_on_the_device(files: Files, every: int) -> None:
    seen = Followed()
    with opened(files, "device", report_every=every) as engine:
        whole = engine.transfer(files.content, files.style, changed(), on_event=seen)
    assert whole.loop == "device"
    for at in (1, 4, *ENDS, ENDS[0] + 1):
        with opened(files, "device", report_every=every) as engine:
            assert_same(engine.resume(through_a_file(seen.states[at], files.folder)), whole)


def test_with_a_saved_style(files: Files) -> None:
    seen, style = Followed(), files.folder / "style.safetensors"
    with opened(files) as engine:
        engine.save_style(files.style, style, changed(scales=3))
        image = engine.transfer(files.content, files.style, changed())
        whole = engine.transfer(files.content, style, changed(), on_event=seen)
        np.testing.assert_array_equal(whole.picture.pixels, image.picture.pixels)
        style.unlink()
        for at in (2, *ENDS[:2], 12):
            assert_same(engine.resume(through_a_file(seen.states[at], files.folder)), whole)


def test_resumed_twice(files: Files) -> None:
    first, second = Followed(), Followed()
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, changed(), on_event=first)
        engine.resume(first.states[3], on_event=second)
        for at in (ENDS[0], 8, ENDS[1], 13):
            assert_same(engine.resume(second.states[at]), whole)


def test_the_seconds_of_a_scale_include_those_before(files: Files) -> None:
    seen = Followed()
    with opened(files) as engine:
        engine.transfer(files.content, files.style, changed(), on_event=seen)
        state = dataclasses.replace(seen.states[8], seconds=1000.0)
        result = engine.resume(state)
    assert sum(scale.seconds for scale in result.scales) == pytest.approx(result.seconds, abs=0.1)
    assert 1000 < result.seconds < 1100
    assert result.scales[0] == seen.states[8].scales_done[0]


def test_a_finished_run_can_be_given_more_iterations(files: Files) -> None:
    """They are made at the result's size, where the run is."""
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, changed(), keep_state=True)
        assert whole.state is not None
        longer = engine.resume(whole.state, changed(iterations=20))
        assert (longer.iterations, longer.outcome) == (20, "iterations_done")
        assert [scale.iterations for scale in longer.scales] == [5, 5, 10]
        assert longer.loss < whole.loss


@pytest.mark.parametrize("iterations", [1, 3, 8])
def test_fewer_iterations_end_the_run_at_its_scale(files: Files, iterations: int) -> None:
    seen = Followed()
    with opened(files) as engine:
        engine.transfer(files.content, files.style, changed(), on_event=seen)
        result = engine.resume(seen.states[8], changed(iterations=iterations))
    assert (result.iterations, result.outcome) == (8, "iterations_done")
    assert (result.picture.height, result.picture.width) == SIZES[-1]
    assert result.message.endswith("; the picture is enlarged from 68x51 px")


def test_a_state_is_had_from_another_thread_at_any_moment(files: Files) -> None:
    """While the job changes its scale as well."""
    settings = changed(iterations=60, init="noise")
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, settings)
        states: dict[int, RunState] = {}
        handle = engine.submit(Job(files.content, files.style, settings))
        found = threading.Thread(target=lambda: collect(handle.run_state, states, handle.wait))
        found.start()
        handle.wait()
        found.join()
        assert len({state.scale for state in states.values()}) > 1
        for state in list(states.values())[:: max(len(states) // 6, 1)]:
            result = engine.resume(state, settings)
            np.testing.assert_array_equal(result.picture.pixels, whole.picture.pixels)
            assert (result.loss, result.evaluations) == (whole.loss, whole.evaluations)


def test_between_two_scales_a_state_is_that_of_the_end(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto.engine.jobs.next_scales import Entry, Leaving, NextScales

    states: list[RunState] = []
    enter = NextScales.enter

    def spy(self: NextScales, leaving: Leaving) -> Entry | None:
        states.append(leaving.active.handle.run_state())
        return enter(self, leaving)

    monkeypatch.setattr(NextScales, "enter", spy)
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, changed())
        assert [(state.iteration, state.scale) for state in states] == [(5, 2), (10, 1)]
        for state in tuple(states):
            assert_same(engine.resume(through_a_file(state, files.folder)), whole)


DAMAGE: dict[str, dict[str, Any]] = {
    "x is float32": {"scale": 1},
    "no scale 9 steps below": {"scale": 9},
    "no scale -1 steps below": {"scale": -1},
    "scale is '1'": {"scale": "1"},
    "scales_done is 3": {"scales_done": 3},
    "a scale that it has left is": {"scales_done": [[36, 48, -1, 2, 0.5]]},
    "missing 1 required positional": {"scales_done": [[36, 48, 5, 6]]},
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_a_damaged_scale_is_one_line(files: Files, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    from impasto.engine.inputs import checkpoint

    seen, path = Followed(), files.folder / "run.safetensors"
    with opened(files) as engine:
        engine.transfer(files.content, files.style, changed(iterations=6), on_event=seen)
    record_of = checkpoint._record_of
    monkeypatch.setattr(checkpoint, "_record_of", lambda *given: {**record_of(*given), **DAMAGE[problem]})
    save_checkpoint(seen.states[1], path)
    with pytest.raises(ImpastoError, match=f"^damaged checkpoint: .*{problem}.*; begin the run again$"):
        load_checkpoint(path)


def test_a_checkpoint_of_an_earlier_version_has_one_scale(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto.engine.inputs import checkpoint

    seen, path = Followed(), files.folder / "run.safetensors"
    with opened(files) as engine:
        whole = engine.transfer(files.content, files.style, changed(scales=1), on_event=seen)
        record_of = checkpoint._record_of

        def earlier(*given: Any) -> dict[str, Any]:
            record = record_of(*given)
            del record["scale"], record["scales_done"], record["settings"]["scales"]
            return record

        monkeypatch.setattr(checkpoint, "_record_of", earlier)
        save_checkpoint(seen.states[4], path)
        assert_same(engine.resume(load_checkpoint(path)[0]), whole)


def test_an_iteration_event_is_of_its_scale(files: Files) -> None:
    seen = Followed()
    with Engine(files.model, provider="cpu", threads=1) as engine:
        engine.transfer(files.content, files.style, changed(), on_event=seen)
    for event in seen.events:
        if isinstance(event, Iteration):
            state = seen.states[event.iteration]
            assert state.scale == 3 - event.scale
            assert len(state.scales_done) == event.scale - 1
            assert state.optimiser["x"].size == 3 * event.height * event.width
            assert (state.scene.height, state.scene.width) == SIZES[-1]
