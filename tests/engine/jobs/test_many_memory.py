"""Many transfers at once and memory: each is weighed, none is refused for the sake of another."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Job
from impasto.engine.compile import memory
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.session import Session
from tests.engine.conftest import Files
from tests.engine.jobs.test_many import BASE, assert_like_a_single_run, engine, job

__all__ = ["engine"]  # a fixture


def needed(engine: Engine, one: Job, batch: int) -> int:
    """Return the bytes that a batch of such jobs is estimated to take."""
    plan = engine.plan(one.content, one.style, one.settings)
    compiler = engine._workshop.compiler
    spec = dataclasses.replace(compiler.spec(one.settings, plan.scene), batch=batch)
    return compiler.memory.estimate(spec, one.settings, plan.painting).total


@pytest.fixture
def large(files: Files, tmp_path: Path) -> Job:
    """A job whose style takes more memory than an evaluation."""
    pixels = np.random.default_rng(0).integers(0, 255, (600, 600, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    return Job(files.content, tmp_path / "large.png", dataclasses.replace(BASE, iterations=2))


@pytest.mark.parametrize("place", [0, 1])
def test_a_job_that_does_not_fit_is_refused_and_no_other(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, large: Job, place: int
) -> None:
    jobs = [job(files, iterations=count) for count in (2, 3, 2)]
    jobs.insert(place, large)
    small, big = (needed(engine, one, 2) for one in (jobs[2], large))
    assert big > small + (10 << 20)
    monkeypatch.setattr(memory, "available", lambda: (small + big) // 2)
    found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
    assert sorted(found) == [0, 1, 2, 3]
    assert [index for index, item in found.items() if item.result is None] == [place]
    assert "not enough memory" in str(found[place].error)
    assert "a smaller --style-size would fit" in str(found[place].error)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_job_that_has_no_room_beside_others_runs_after_them(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, large: Job, batch: int
) -> None:
    """Beside an evaluation that is going on its style's targets come on top; by itself they do not."""
    jobs = [job(files, iterations=2), job(files, iterations=3), large, job(files, iterations=2)]
    small, big = (needed(engine, one, 2) for one in (jobs[0], large))
    evaluators: list[Evaluator] = []
    opened = Compiler.open

    def opening(self: Compiler, spec: GraphSpec) -> Evaluator:
        evaluators[:] = [opened(self, spec)]
        return evaluators[0]

    closed = Session.close

    def closing(self: Session) -> None:
        evaluators[:] = [item for item in evaluators if item.session is not self]
        closed(self)

    monkeypatch.setattr(Compiler, "open", opening)
    monkeypatch.setattr(Session, "close", closing)
    monkeypatch.setattr(memory, "available", lambda: (big - small) // 2 if evaluators else big)
    found = list(engine.transfer_many(jobs, batch=batch))
    order = [item.index for item in found]
    assert order == {1: [0, 1, 2, 3], 2: [0, 1, 3, 2]}[batch]  # with one place, nobody goes past it
    assert all(item.result is not None for item in found)
    again = engine.transfer(large.content, large.style, large.settings)
    last = found[order.index(2)].result
    assert last is not None
    assert_like_a_single_run(last, again)


def test_the_default_batch_is_what_fits(engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(files, iterations=2) for _ in range(5)]
    two, three = (needed(engine, jobs[0], count) for count in (2, 3))
    monkeypatch.setattr(engine, "_places", lambda batch: batch or 4)
    monkeypatch.setattr(memory, "available", lambda: (two + three) // 2)
    sizes: list[int] = []
    compiler = engine._workshop.compiler
    make = compiler.open

    def opening(spec: GraphSpec) -> Evaluator:
        sizes.append(spec.batch)
        return make(spec)

    monkeypatch.setattr(compiler, "open", opening)
    assert all(item.result is not None for item in engine.transfer_many(jobs))
    assert sizes == [2]
    compiler.close()
    refused = list(engine.transfer_many(jobs[:4], batch=4))
    assert [item.error is None for item in refused] == [False] * 4
    assert "--batch 2" in str(refused[0].error)
