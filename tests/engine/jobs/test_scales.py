"""A job with several scales: a chain of runs from coarse to fine."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, ImpastoError, Iteration, Job, Picture, Settings, Started
from impasto.engine.compile.compiler import Compiler
from impasto.engine.inputs import scales, scaling
from impasto.engine.inputs.pictures import as_pixels, as_vector, read_pictures
from impasto.engine.inputs.scales import painting_size, scales_of
from impasto.engine.jobs.job import JobState
from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.runtime.evaluator import Evaluator
from tests.engine.conftest import Files
from tests.engine.jobs.scale_runs import ENDS, SIZES, Followed, assert_same, changed, engine, job, opened, three

__all__ = ["engine", "three"]  # fixtures
pytestmark = pytest.mark.usefixtures("three")


def test_the_events_tell_of_every_scale(files: Files, engine: Engine) -> None:
    seen = Followed()
    result = engine.transfer(files.content, files.style, changed(), on_event=seen)
    assert isinstance(seen.events[0], Started)
    assert (seen.events[0].height, seen.events[0].width) == SIZES[-1]
    assert [(event.height, event.width) for event in seen.scales] == SIZES
    assert [(event.scale, event.scales, event.iteration) for event in seen.scales] == [(1, 3, 0), (2, 3, 5), (3, 3, 10)]
    assert [event.last_iteration for event in seen.scales] == ENDS
    iterations = [event for event in seen.events if isinstance(event, Iteration)]
    assert [event.iteration for event in iterations] == list(range(1, 15))
    assert [event.scale for event in iterations] == [1] * 5 + [2] * 5 + [3] * 4
    assert [SIZES[event.scale - 1] for event in iterations] == [(event.height, event.width) for event in iterations]
    seconds = [event.seconds for event in iterations]
    assert seconds == sorted(seconds)
    evaluations = [event.evaluations for event in iterations]
    assert evaluations == sorted(set(evaluations))
    assert evaluations[-1] == result.evaluations
    assert (result.picture.height, result.picture.width, result.iterations) == (*SIZES[-1], 14)
    assert result.settings == changed()


def test_the_result_tells_of_every_scale(files: Files, engine: Engine) -> None:
    result = engine.transfer(files.content, files.style, changed())
    assert [(scale.height, scale.width, scale.iterations) for scale in result.scales] == [
        (*size, share) for size, share in zip(SIZES, (5, 5, 4), strict=True)
    ]
    assert sum(scale.evaluations for scale in result.scales) == result.evaluations
    assert sum(scale.seconds for scale in result.scales) == pytest.approx(result.seconds, abs=0.05)
    assert all(scale.seconds > 0 for scale in result.scales)
    assert [scale["width"] for scale in result.summary()["scales"]] == [48, 68, 96]
    assert 0 < result.setup_s < result.scales[0].seconds
    assert 0 < result.evaluations_s < result.seconds


@pytest.mark.parametrize("settings", [changed(scales=1), changed(size=44)])
def test_one_scale_is_what_it_was(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Nothing is resized again, no other session is opened, and the same run without the setting has the same bits."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a run of one scale needs this")

    for owner, name in ((scaling, "at_next_scale"), (scaling, "enlarged"), (Compiler, "open_apart")):
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(scaling, "painting_size", refuse)
    seen = Followed()
    result = engine.transfer(files.content, files.style, settings, on_event=seen)
    assert (seen.scales, result.scales) == ([], ())
    assert "scales" not in result.summary()
    plain = engine.transfer(files.content, files.style, dataclasses.replace(settings, scales=1))
    assert_same(dataclasses.replace(result, settings=plain.settings), plain)


BY_HAND: dict[str, Settings] = {
    "paper": changed(),
    "johnson, smooth": changed(weighting="johnson", content_weight=5.0, style_weight=100.0, tv_weight=0.1),
    "calibrated": changed(weighting="calibrated", content_weight=0.01),
    "from noise": changed(init="noise", seed=5),
    "unbounded": changed(bounded=False),
    "seamless": changed(seamless=True),
    "plain-lbfgs, no content": changed(content_weight=0.0, optimizer="plain-lbfgs"),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_chain_has_the_bits_of_runs_made_by_hand(files: Files, engine: Engine, name: str) -> None:
    """Each scale by itself, with its own settings and pictures, from the picture of the one before."""
    settings = BY_HAND[name]
    scene, painting = read_pictures(files.content, files.style, settings)
    assert isinstance(painting, Picture)
    found = scales_of(settings, scene.height, scene.width)
    start, evaluations, before = None, 0, 0
    for scale in found:
        area = scene.height * scene.width / (scale.height * scale.width)
        weights: dict[str, Any] = {
            "paper": {"content_weight": settings.content_weight, "tv_weight": settings.tv_weight},
            "johnson": {"tv_weight": settings.tv_weight},
            "calibrated": {},
        }[settings.weighting]
        here: dict[str, Any] = {key: (value or 0.0) * area for key, value in weights.items()}
        alone = dataclasses.replace(
            settings,
            size=0,
            style_size=0,
            scales=1,
            iterations=scale.last_iteration - before,
            **here,
        )
        small = painting.resized(*painting_size(settings, painting.height, painting.width, scale.step))
        part = Job(scene.resized(scale.height, scale.width).pixels, small.pixels, alone, start)
        result = engine.submit(part).result()
        evaluations, before = evaluations + result.evaluations, scale.last_iteration
        if scale is not found[-1]:
            following = found[found.index(scale) + 1]
            x = scaling.enlarged(as_vector(result.picture.pixels), settings, scale, following)
            start = Picture(as_pixels(x, following.height, following.width), None, "")
    whole = engine.transfer(files.content, files.style, settings)
    np.testing.assert_array_equal(whole.picture.pixels, result.picture.pixels)
    assert (whole.loss, dict(whole.terms), whole.evaluations) == (result.loss, dict(result.terms), evaluations)


@pytest.mark.parametrize("loop", ["host", "device"])
def test_on_the_device_the_scales_are_those_of_the_host(files: Files, loop: str) -> None:
    with opened(files) as engine:
        host = engine.transfer(files.content, files.style, changed())
    seen = Followed()
    with opened(files, loop, report_every=3) as engine:
        result = engine.transfer(files.content, files.style, changed(), on_event=seen)
    assert result.loop == loop
    assert [(event.height, event.width) for event in seen.scales] == SIZES
    assert [scale.iterations for scale in result.scales] == [5, 5, 4]
    assert result.loss == pytest.approx(host.loss, rel=1e-3)
    np.testing.assert_allclose(result.picture.pixels, host.picture.pixels, atol=5e-3)


def test_adam_carries_its_moments(files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = changed(optimizer="adam", iterations=30)
    seen = Followed()
    result = engine.transfer(files.content, files.style, settings, on_event=seen)
    assert result.evaluations == 31  # no scale but the first evaluates its start
    first = result.scales[0].iterations
    state = seen.states[first]
    whole = scaling.Whole(
        settings, state.scene, state.painting, scales_of(settings, state.scene.height, state.scene.width)
    )
    carried = scaling.at_next_scale(state, whole)
    (low, wide), (high, far) = SIZES[:2]
    ratio = low * wide / (high * far)
    assert carried.optimiser["mean_square"].min() > 0
    longest = [
        np.max(np.abs(one["mean"]) / np.sqrt(one["mean_square"])) for one in (state.optimiser, carried.optimiser)
    ]
    assert longest[1] <= longest[0] * (1 + 1e-5)  # no variable takes a longer step than one did before
    for name, factor in (("mean", ratio), ("mean_square", ratio**2)):
        before, after = state.optimiser[name], carried.optimiser[name]
        assert after.shape == (3 * high * far,)
        close = 0.02 * float(np.abs(before).mean())
        assert float(after.mean()) == pytest.approx(float(before.mean()) * factor, rel=0.05, abs=close)
    np.testing.assert_array_equal(carried.optimiser["counts"], state.optimiser["counts"])


def cancel_after(monkeypatch: pytest.MonkeyPatch, evaluations: int) -> Callable[[], bool]:
    """Return a function that cancels a run after so many evaluations."""
    call, made = Evaluator.__call__, [0]

    def count(self: Evaluator, images: dict[int, Vector]) -> dict[int, Score]:
        made[0] += 1
        return call(self, images)

    monkeypatch.setattr(Evaluator, "__call__", count)
    return lambda: made[0] >= evaluations


@pytest.mark.parametrize("evaluations", [1, 3, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17])
def test_a_cancelled_run_gives_its_picture_at_the_final_size(
    files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch, evaluations: int
) -> None:
    seen = Followed()
    whole = engine.transfer(files.content, files.style, changed())
    assert whole.evaluations == 17
    cancel = cancel_after(monkeypatch, evaluations)
    given = {"on_event": seen, "cancel": cancel, "keep_state": True}
    result = engine.transfer(files.content, files.style, changed(), **given)  # type: ignore[arg-type]
    if evaluations == 17:
        assert result.outcome == "iterations_done"
        return
    assert (result.outcome, result.evaluations) == ("cancelled", evaluations)
    assert (result.picture.height, result.picture.width) == SIZES[-1]
    assert result.iterations == max(seen.states, default=0)
    assert result.state is not None
    scale = (result.state.optimiser["x"].size // 3, result.state.scale)
    here = next(size for size in SIZES if size[0] * size[1] == scale[0])
    assert scale[1] == 2 - SIZES.index(here)
    if here != SIZES[-1]:
        number = SIZES.index(here) + 1
        assert result.message == (
            f"it was cancelled, at scale {number} of 3; the picture is enlarged from {here[1]}x{here[0]} px"
        )
        x = result.state.optimiser["x"].reshape(3, *here).transpose(1, 2, 0)
        np.testing.assert_array_equal(result.picture.pixels, Picture(x, None, "").resized(*SIZES[-1]).pixels)
    else:
        assert result.message == "it was cancelled"
    assert_same(engine.resume(result.state), whole)


@pytest.mark.parametrize("evaluations", range(2, 18))
def test_evaluations_are_shared_and_never_exceeded(files: Files, engine: Engine, evaluations: int) -> None:
    settings = changed(evaluations=evaluations, iterations=100)
    result = engine.transfer(files.content, files.style, settings)
    assert (result.evaluations, result.outcome) == (evaluations, "evaluations_done")
    assert (result.picture.height, result.picture.width) == SIZES[-1]
    assert len(result.scales) == (0 if evaluations < 4 else min(evaluations // 2, 3))
    assert result.message == "all evaluations of the budget are done"
    assert all(scale.evaluations >= 2 for scale in result.scales)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_deadline_in_any_scale(files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    settings = changed(timeout_s=30.0)
    clock, budget = [0.0], __import__("impasto.engine.jobs.run", fromlist=["Budget"]).Budget
    monkeypatch.setattr(
        "impasto.engine.jobs.run.Budget", lambda *values: dataclasses.replace(budget(*values), clock=lambda: clock[0])
    )

    def pass_time(event: object) -> None:
        if isinstance(event, Iteration) and event.scale == number:
            clock[0] = float("inf")

    result = engine.transfer(files.content, files.style, settings, on_event=pass_time)
    assert (result.outcome, result.iterations) == ("deadline", [0, *ENDS][number - 1] + 1)
    assert (result.picture.height, result.picture.width) == SIZES[-1]
    assert ("enlarged" in result.message) == (number < 3)


def test_a_scale_that_ends_early_leaves_its_iterations_to_the_next(files: Files, engine: Engine) -> None:
    """From the style image with style terms alone the coarsest scale is nearly at its optimum."""
    settings = changed(content_weight=0.0, init="style", iterations=400)
    style = np.full((40, 52, 3), 128, np.uint8)
    result = engine.transfer(None, style, dataclasses.replace(settings, canvas=(96, 72)))
    assert [(scale.height, scale.width) for scale in result.scales] == SIZES
    assert result.outcome in ("stationary", "line_search_stalled", "iterations_done")
    assert result.scales[0].iterations < scales_of(settings, 72, 96)[0].iterations


@pytest.mark.parametrize("init", ["content", "style", "file", "start"])
def test_the_start_is_reduced_to_the_coarsest_scale(files: Files, engine: Engine, init: str) -> None:
    seen: list[Vector] = []
    call = Evaluator.__call__
    with pytest.MonkeyPatch.context() as patch:

        def keep(self: Evaluator, images: dict[int, Vector]) -> dict[int, Score]:
            seen.append(images[0].copy())
            return call(self, images)

        patch.setattr(Evaluator, "__call__", keep)
        start = (
            Picture(np.random.default_rng(1).random((90, 120, 3), np.float32), None, "") if init == "start" else None
        )
        settings = changed(init=str(files.style) if init == "file" else "content" if start else init)
        engine.submit(Job(files.content, files.style, settings, start)).result()
    scene, painting = read_pictures(files.content, files.style, changed())
    expected = {
        "content": scene.resized(36, 48),
        "style": painting.resized(37, 48).resized(36, 48) if isinstance(painting, Picture) else None,
        "file": None,
        "start": start.resized(36, 48) if start else None,
    }[init]
    assert seen[0].size == 3 * 36 * 48
    if expected is not None:
        np.testing.assert_array_equal(as_pixels(seen[0], 36, 48), expected.pixels)


def test_noise_has_the_coarsest_size_and_the_seed_counts(files: Files, engine: Engine) -> None:
    one, same, other = (
        engine.transfer(files.content, files.style, changed(init="noise", seed=seed, iterations=6))
        for seed in (1, 1, 2)
    )
    assert_same(one, same)
    assert not np.array_equal(one.picture.pixels, other.picture.pixels)


def test_a_canvas_without_content(files: Files, engine: Engine) -> None:
    settings = changed(content_weight=0.0, init="noise", canvas=(96, 80), seamless=True)
    result = engine.transfer(None, files.style, settings)
    assert [(scale.height, scale.width) for scale in result.scales] == [(32, 32), (48, 48), (64, 64), (80, 96)]
    assert (result.picture.height, result.picture.width) == (80, 96)
    assert result.scales[-1].iterations > 0


def test_alpha_and_name_are_the_contents_own(files: Files, engine: Engine) -> None:
    pixels = np.random.default_rng(0).random((72, 96, 4)).astype(np.float32)
    result = engine.transfer(pixels, files.style, changed(size=0))
    assert result.picture.alpha is not None
    np.testing.assert_array_equal(result.picture.alpha, pixels[..., 3])


def test_a_failure_at_a_later_scale_is_the_jobs(files: Files, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_at, open_as_before = list[int](), Compiler.open_with_targets
    monkeypatch.setattr(Compiler, "opens_ahead", False)

    def fail(self: Compiler, spec: Any, *values: Any) -> Any:
        opened_at.append(spec.width)
        if spec.width == 68:
            raise ImpastoError("no such session")
        return open_as_before(self, spec, *values)

    monkeypatch.setattr(Compiler, "open_with_targets", fail)
    handle = engine.submit(job(files))
    with pytest.raises(ImpastoError, match="no such session"):
        handle.result()
    assert handle.state is JobState.FAILED
    assert opened_at == [48, 68]
    monkeypatch.undo()
    monkeypatch.setattr(scales, "COARSEST_PX", 34)
    assert engine.transfer(files.content, files.style, changed()).iterations == 14
