"""Many transfers at once: the results of single runs, whoever enters and leaves beside them."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Event, ImpastoError, Iteration, Job, PrecisionChanged, Result, Settings, Started
from impasto.engine.jobs.waiting import LOOK_AHEAD
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator, Score
from tests.engine.conftest import Files

BASE = Settings(
    size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=20
)


def job(files: Files, **values: object) -> Job:
    return Job(files.content, files.style, dataclasses.replace(BASE, **values))  # type: ignore[arg-type]


@pytest.fixture
def engine(files: Files) -> Iterator[Engine]:
    with Engine(files.model, provider="cpu", threads=1) as engine:
        yield engine


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The samples of every evaluation."""
    seen: list[tuple[int, ...]] = []
    call = Evaluator.__call__

    def spy(self: Evaluator, images: dict[int, np.ndarray]) -> dict[int, Score]:
        seen.append(tuple(images))
        return call(self, images)

    monkeypatch.setattr(Evaluator, "__call__", spy)
    return seen


def assert_like_a_single_run(found: Result, single: Result) -> None:
    assert (found.iterations, found.evaluations, found.outcome) == (
        single.iterations,
        single.evaluations,
        single.outcome,
    )
    assert found.loss == pytest.approx(single.loss, rel=1e-3)
    assert dict(found.terms) == pytest.approx(dict(single.terms), abs=1e-3 * single.loss)
    assert dict(found.initial_terms) == pytest.approx(dict(single.initial_terms), rel=1e-5)
    np.testing.assert_allclose(found.picture.pixels, single.picture.pixels, atol=2e-3)
    assert found.settings == single.settings
    assert found.provenance == single.provenance


def mixed(files: Files) -> list[Job]:
    """Other weights, starts, optimisers and lengths."""
    return [
        job(files),
        job(files, init="noise", seed=3, iterations=7),
        job(files, content_weight=1e-3, style_weight=2.0),
        job(files, optimizer="adam", iterations=11),
        Job(files.style, files.content, dataclasses.replace(BASE, size=64, history=3, evaluations=9)),
        job(files, weighting="calibrated", content_weight=2e-3),
    ]


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_each_result_is_that_of_a_single_run(engine: Engine, files: Files, batch: int) -> None:
    """With all that is mixed in one evaluation, and more jobs than places."""
    jobs = mixed(files)
    found = {item.index: item for item in engine.transfer_many(jobs, batch=batch)}
    assert sorted(found) == list(range(len(jobs)))
    for index, one in enumerate(jobs):
        assert found[index].job is one
        result = found[index].result
        assert result is not None
        assert_like_a_single_run(result, engine.transfer(one.content, one.style, one.settings))


def test_places_are_taken_over_and_shared(engine: Engine, files: Files, sizes: list[tuple[int, ...]]) -> None:
    jobs = [job(files, iterations=count) for count in (2, 9, 2, 2)]
    done = [item.index for item in engine.transfer_many(jobs, batch=2)]
    assert done == [0, 2, 3, 1]
    assert sizes[0] == (0, 1)
    assert len(sizes) == 10  # as many as the longest has: the three short ones run beside it, one after another
    assert sizes[-1] == (1,)


def test_jobs_of_other_forms_have_their_turn_afterwards(
    engine: Engine, files: Files, sizes: list[tuple[int, ...]]
) -> None:
    jobs = [job(files, size=side, iterations=2) for side in (48, 64, 48, 64, 48)]
    jobs.append(job(files, size=48, iterations=2, pool="max"))
    done = [item.index for item in engine.transfer_many(jobs, batch=3)]
    assert done == [0, 2, 4, 1, 3, 5]
    assert [len(samples) for samples in sizes] == [3] * 3 + [2] * 3 + [1] * 3


def test_jobs_are_taken_as_they_are_needed(engine: Engine, files: Files) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Job]:
        while True:
            taken.append(len(taken))
            yield job(files, iterations=1, size=48 + 16 * (len(taken) == 1))

    running = engine.transfer_many(endless(), batch=2)
    assert taken == []
    assert next(running).index == 0
    assert len(taken) <= LOOK_AHEAD + 1
    assert next(running).index == 1
    running.close()  # type: ignore[attr-defined]
    assert threading.active_count() < 10


def test_a_job_that_fails_does_not_disturb_the_others(engine: Engine, files: Files) -> None:
    missing = Job(files.folder / "missing.png", files.style, BASE)
    no_tap = job(files, style_taps=("relu9_9",))
    small = np.zeros((8, 8, 3), np.uint8)
    jobs = [missing, job(files), no_tap, Job(small, files.style, BASE), job(files, seed=1)]
    found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    errors = {index: str(item.error) for index, item in found.items() if item.error is not None}
    assert sorted(errors) == [0, 2, 3]
    assert "missing.png" in errors[0]
    assert "relu9_9" in errors[2]
    assert "8 x 8" in errors[3]
    for index in (1, 4):
        result = found[index].result
        assert result is not None
        assert_like_a_single_run(result, engine.transfer(files.content, files.style, jobs[index].settings))


@pytest.mark.parametrize("loop", ["host", "device"])
def test_a_job_whose_start_is_not_finite_fails_alone(files: Files, loop: str) -> None:
    broken = Job(files.content, files.style, dataclasses.replace(BASE, content_weight=1e38, init="noise"))
    jobs = [job(files), broken, job(files, iterations=5)]
    with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
        found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
        assert "not finite at the starting point" in str(found[1].error)
        for index in (0, 2):
            result = found[index].result
            assert result is not None
            assert_like_a_single_run(result, engine.transfer(files.content, files.style, jobs[index].settings))


def test_events_come_with_their_job_in_the_callers_thread(engine: Engine, files: Files) -> None:
    jobs = [job(files, iterations=3), job(files, iterations=5, seed=2, init="noise")]
    seen: dict[int, list[Event]] = {0: [], 1: []}
    last: dict[int, np.ndarray] = {}

    def on_event(index: int, told: Job, event: Event) -> None:
        assert threading.current_thread() is threading.main_thread()
        assert told is jobs[index]
        seen[index].append(event)
        if isinstance(event, Iteration):
            last[index] = event.snapshot()

    for item in engine.transfer_many(jobs, batch=2, on_event=on_event):
        assert item.result is not None
        np.testing.assert_array_equal(last[item.index], item.result.picture.pixels)
    for index, count in ((0, 3), (1, 5)):
        first, *rest = seen[index]
        assert isinstance(first, Started)
        assert [event.iteration for event in rest if isinstance(event, Iteration)] == list(range(1, count + 1))


@pytest.mark.parametrize("loop", ["host", "device"])
def test_cancelling_ends_those_that_run_and_begins_no_other(files: Files, loop: str) -> None:
    seen: list[Event] = []
    jobs = [job(files, iterations=100, seed=seed) for seed in range(4)]
    with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
        found = list(
            engine.transfer_many(
                jobs, batch=2, on_event=lambda index, told, event: seen.append(event), cancel=lambda: len(seen) > 12
            )
        )
    assert sorted(item.index for item in found) == [0, 1]
    assert {item.result.outcome for item in found if item.result is not None} == {"cancelled"}
    assert all(item.result is not None and item.result.iterations > 0 for item in found)


def test_an_error_in_a_callback_ends_everything(engine: Engine, files: Files) -> None:
    before = threading.active_count()

    def on_event(index: int, told: Job, event: Event) -> None:
        if isinstance(event, Iteration) and event.iteration == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(engine.transfer_many([job(files), job(files)], batch=2, on_event=on_event))
    assert threading.active_count() <= before


def test_values_that_are_not_finite_lead_to_a_run_alone_in_a_safer_precision(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU provider stands in for one whose bf16 overflows for the second sample at its third evaluation."""
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16")  # float32 all the same
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    call, used = Evaluator.__call__, Engine(files.model, provider=narrow, threads=1)

    evaluations: Counter[int] = Counter()  # by the size of the batch

    def overflow(self: Evaluator, images: dict[int, np.ndarray]) -> dict[int, Score]:
        scores, size = call(self, images), len(self.coefficients)
        evaluations[size] += 1
        if used.provider.precision == "bf16" and evaluations[size] >= 3 and size - 1 in scores:
            scores[size - 1] = dataclasses.replace(scores[size - 1], loss=float("nan"))
        return scores

    monkeypatch.setattr(Evaluator, "__call__", overflow)
    changes: list[tuple[int, str, str]] = []

    def on_event(index: int, told: Job, event: Event) -> None:
        if isinstance(event, PrecisionChanged):
            changes.append((index, event.before, event.after))

    with used as engine:
        found = list(engine.transfer_many([job(files), job(files)], batch=2, on_event=on_event))
    assert changes == [(1, "bf16", "fp32")]
    assert [item.index for item in found] == [0, 1]
    assert [item.result and item.result.outcome for item in found] == ["iterations_done"] * 2
    assert [item.result and item.result.provenance["precision"] for item in found] == ["bf16", "fp32"]


@pytest.mark.parametrize("batch", [0, 65])
def test_a_batch_out_of_range_is_refused_at_once(engine: Engine, files: Files, batch: int) -> None:
    with pytest.raises(ImpastoError, match=rf"bad batch {batch}: allowed are 1 to 64"):
        engine.transfer_many([], batch=batch)


def test_float16_has_a_factor_for_every_sample(files: Files) -> None:
    """Losses of very different magnitude in one evaluation, which one factor could not bring into range together."""
    narrow = dataclasses.replace(providers.choose("cpu"), precision="fp16", typed=True)
    jobs = [job(files, style_weight=weight, content_weight=1e-5 * weight, iterations=6) for weight in (1e-9, 1.0, 1e9)]
    with Engine(files.model, provider=narrow, threads=1) as engine:
        found = {item.index: item for item in engine.transfer_many(jobs, batch=3)}
        assert engine.provider.precision == "fp16"
        for index, one in enumerate(jobs):
            result = found[index].result
            assert result is not None
            single = engine.transfer(one.content, one.style, one.settings)
            assert result.loss == pytest.approx(single.loss, rel=2e-2)
            assert result.iterations == 6


def test_pictures_of_one_content_in_several_styles(engine: Engine, files: Files, tmp_path: Path) -> None:
    """Styles of several sizes share an evaluation: only the result's size is the graph's."""
    rng = np.random.default_rng(7)
    for number, size in enumerate([(40, 60), (64, 48), (90, 33)]):
        Image.fromarray(rng.integers(0, 255, (*size, 3)).astype(np.uint8)).save(tmp_path / f"s{number}.png")
    jobs = [Job(files.content, tmp_path / f"s{number}.png", BASE) for number in range(3)]
    for item in engine.transfer_many(jobs, batch=3):
        assert item.result is not None
        assert_like_a_single_run(item.result, engine.transfer(item.job.content, item.job.style, BASE))


def test_an_evaluation_that_fails_takes_its_jobs_with_it_and_no_others(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, calls = Evaluator.__call__, []

    def fail(self: Evaluator, images: dict[int, np.ndarray]) -> dict[int, Score]:
        calls.append(tuple(images))
        if len(calls) == 3:
            raise ImpastoError("out of memory")
        return call(self, images)

    monkeypatch.setattr(Evaluator, "__call__", fail)
    jobs = [job(files, iterations=5), job(files, iterations=6), job(files, iterations=2), job(files, size=48)]
    found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
    assert [str(found[index].error) for index in (0, 1)] == ["out of memory"] * 2
    for index in (2, 3):
        result = found[index].result
        assert result is not None
        assert_like_a_single_run(result, engine.transfer(files.content, files.style, jobs[index].settings))


def test_jobs_put_aside_are_of_one_kind_after_a_change_of_precision(
    files: Files, monkeypatch: pytest.MonkeyPatch, sizes: list[tuple[int, ...]]
) -> None:
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16")
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    broken = job(files, init="noise")
    once: list[None] = []
    call = Evaluator._score

    def overflow(self: Evaluator, outputs: dict[str, np.ndarray], sample: int) -> Score:
        score = call(self, outputs, sample)
        if sample == 1 and not once:
            once.append(None)
            return dataclasses.replace(score, loss=float("nan"))
        return score

    monkeypatch.setattr(Evaluator, "_score", overflow)
    jobs = [job(files, iterations=2), broken, *(job(files, size=48, iterations=2) for _ in range(2))]
    with Engine(files.model, provider=narrow, threads=1) as engine:
        found = {item.index: item.result for item in engine.transfer_many(jobs, batch=2)}
    assert all(result is not None for result in found.values())
    assert {index: result and result.provenance["precision"] for index, result in found.items()} == {
        0: "bf16",
        1: "fp32",
        2: "fp32",
        3: "fp32",
    }
    assert sizes[-1] == (0, 1)


def test_where_all_need_a_safer_precision_the_rest_begins_in_it(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16")
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    used = Engine(files.model, provider=narrow, threads=1)
    call = Evaluator._score

    def overflow(self: Evaluator, outputs: dict[str, np.ndarray], sample: int) -> Score:
        score = call(self, outputs, sample)
        return dataclasses.replace(score, loss=float("nan")) if used.provider.precision == "bf16" else score

    monkeypatch.setattr(Evaluator, "_score", overflow)
    changed: list[int] = []

    def on_event(index: int, _: Job, event: Event) -> None:
        if isinstance(event, PrecisionChanged):
            changed.append(index)

    with used as engine:
        found = {
            item.index: item.result
            for item in engine.transfer_many([job(files, iterations=2)] * 7, batch=2, on_event=on_event)
        }
    assert sorted(found) == list(range(7))
    assert all(result is not None and result.provenance["precision"] == "fp32" for result in found.values())
    assert changed == [0, 1, 2]  # the third had begun where the first had stopped
