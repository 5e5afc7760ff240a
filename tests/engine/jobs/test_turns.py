"""Whose turn it is: jobs of several sizes, jobs that share a session, and priorities."""

import dataclasses
import os
import threading
from collections import Counter

import numpy as np
import pytest

from impasto.engine import Engine, ImpastoError
from impasto.engine.jobs.job import JobState
from impasto.engine.jobs.run import Run
from impasto.engine.jobs.surroundings import Reply
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S, Gate, gate
from tests.engine.jobs.test_many import BASE, assert_like_a_single_run, engine, job
from tests.engine.jobs.test_submit import A, B, C, D, one_at_a_time, sides

__all__ = ["engine", "gate", "one_at_a_time"]  # fixtures


def test_jobs_of_different_sizes_take_turns(files: Files, gate: Gate) -> None:
    with Engine(files.model, provider="cpu", threads=1, concurrency=2) as engine:
        handles = [engine.submit(job(files, size=side, iterations=6)) for side in (48, 64, 96)]
        gate.step(8)
        assert sides(gate)[:2] == [A, A] or sides(gate)[:2] == [A, B]  # the second may have come after an evaluation
        assert sides(gate)[2:] in ([A, B] * 3, [B, A] * 3)
        assert [handle.state for handle in handles] == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED]
        gate.open()
        for handle, side in zip(handles, (48, 64, 96), strict=True):
            result = handle.result(LONG_S)
            single = engine.transfer(files.content, files.style, dataclasses.replace(BASE, size=side, iterations=6))
            np.testing.assert_array_equal(result.picture.pixels, single.picture.pixels)


def test_jobs_of_one_size_take_turns_on_one_session(engine: Engine, files: Files, gate: Gate) -> None:
    jobs = [job(files), job(files, style_weight=5.0), job(files, init="noise"), job(files, optimizer="adam")]
    handles = [engine.submit(one) for one in jobs]
    gate.step(len(jobs))
    assert all(handle.state is JobState.RUNNING for handle in handles)
    gate.open()
    for handle, one in zip(handles, jobs, strict=True):
        result = handle.result(LONG_S)
        single = engine.transfer(one.content, one.style, one.settings)
        assert_like_a_single_run(result, single)
        np.testing.assert_array_equal(result.picture.pixels, single.picture.pixels)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_the_optimisers_of_a_batch_work_at_the_same_time(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, count = threading.Barrier(2, timeout=LONG_S), Run._count

    def meet(self: Run, reply: Reply) -> None:
        both.wait()
        count(self, reply)

    monkeypatch.setattr(Run, "_count", meet)
    found = list(engine.transfer_many([job(files, iterations=3)] * 2, batch=2))
    assert [item.result and item.result.iterations for item in found] == [3, 3]


@pytest.mark.parametrize("priorities", [(0, 0, 0), (8, -8, 3)])
def test_a_new_job_waits_for_at_most_one_evaluation_of_each(
    engine: Engine, files: Files, gate: Gate, priorities: tuple[int, ...]
) -> None:
    for side, priority in zip((48, 64, 96), priorities, strict=True):
        engine.submit(dataclasses.replace(job(files, size=side, iterations=1000), priority=priority))
        gate.step(7)
    new = engine.submit(job(files, size=128, iterations=1000))
    before = len(gate.seen) + 1  # one has begun
    while D not in sides(gate):
        gate.step()
    between = Counter(sides(gate)[before:])
    assert between[D] == 1
    assert max(between.values()) == 1
    assert new.state is JobState.RUNNING


def test_a_priority_doubles_the_share(engine: Engine, files: Files, gate: Gate) -> None:
    for side, priority in ((48, 1), (64, 0), (96, -1)):
        engine.submit(dataclasses.replace(job(files, size=side, iterations=1000), priority=priority))
    gate.step(70)
    shares = Counter(sides(gate))
    assert [shares[size] for size in (A, B, C)] == pytest.approx([40, 20, 10], abs=3)


def test_the_higher_priority_begins_first(one_at_a_time: Engine, files: Files, gate: Gate) -> None:
    one_at_a_time.submit(job(files, size=48, iterations=1))
    gate.wait()
    low, high = (
        one_at_a_time.submit(dataclasses.replace(job(files, size=side, iterations=1), priority=priority))
        for side, priority in ((64, -1), (96, 1))
    )
    gate.open()
    low.result(LONG_S)
    high.result(LONG_S)
    assert sides(gate) == [A, A, C, C, B, B]
    with pytest.raises(ImpastoError, match="bad priority 9: allowed are whole numbers from -8 to 8"):
        dataclasses.replace(low.job, priority=9)
