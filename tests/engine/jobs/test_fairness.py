"""No job starves: when jobs begin, what share of the evaluations they have, and how soon they end."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest

from impasto.engine import Engine, Job
from impasto.engine.jobs.job import JobState
from impasto.engine.jobs.queue import AGEING
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import Provider
from tests.engine.conftest import Files
from tests.engine.jobs.schedules import NOT_FINITE, Planned, Played, Player, Schedule, starved
from tests.engine.jobs.test_schedules import BASE, CONTENTS, STYLES
from tests.oracles.job_queue import Step

Play = Callable[..., Played]
LONG = replace(BASE, iterations=1000)


@pytest.fixture
def play(files: Files) -> Iterator[Play]:
    """Return a function that plays jobs and steps on an engine of its own."""
    with ExitStack() as stack:

        def play(
            jobs: Sequence[Planned], steps: Sequence[Step], *, concurrency: int = 4, provider: str | Provider = "cpu"
        ) -> Played:
            opened = Engine(files.model, provider=provider, threads=1, loop="host", concurrency=concurrency)
            schedule = Schedule(0, "host", 1, concurrency, tuple(jobs), tuple(sorted(steps, key=lambda step: step.at)))
            return Player(stack.enter_context(opened), schedule, job_of).play()

        yield play


def job_of(planned: Planned) -> Job:
    content, style = CONTENTS[planned.content], STYLES[planned.style]
    return Job(content, style, replace(planned.settings, timeout_s=planned.timeout_s), priority=planned.priority)


def planned(priority: int = 0, iterations: int = 1000, *, batch: int = 1, content: int = 0) -> Planned:
    return Planned(content, 0, replace(BASE, iterations=iterations), batch, priority, None, "", None)


def submitted(count: int, at: int = 0) -> list[Step]:
    return [Step(at, "submit", number) for number in range(count)]


def cancelled(count: int, at: int) -> list[Step]:
    return [Step(at, "cancel", number) for number in range(count)]


def turns_of(played: Played, number: int) -> list[int]:
    """Return in which evaluations a job took part."""
    return [index for index, evaluated in enumerate(played.evaluations) if number in evaluated.jobs]


@pytest.mark.parametrize("priorities", [(0, 0, 0, 0), (1, 0, -1), (3, -2, 0, 1), (8, -8), (4, 4, -4, -4)])
def test_shares_of_the_evaluations_double_with_each_priority(play: Play, priorities: tuple[int, ...]) -> None:
    jobs = [planned(priority) for priority in priorities]
    played = play(jobs, [*submitted(len(jobs)), *cancelled(len(jobs), 120)])
    assert sum(played.seen.values()) == 120
    for i, one in enumerate(priorities):
        for j, other in enumerate(priorities):
            assert abs(played.seen[i] / 2.0**one - played.seen[j] / 2.0**other) <= 1 / 2.0**one + 1 / 2.0**other


def test_a_low_priority_waits_for_a_known_number_of_evaluations(play: Play) -> None:
    low, high = -2, 2
    played = play([planned(low), planned(high), planned(high)], [*submitted(3), *cancelled(3, 100)])
    turns = turns_of(played, 0)
    assert len(turns) == 4
    most = 2 * 2 ** (high - low)
    assert max(after - before for before, after in pairwise(turns)) <= most + 1


def test_a_low_priority_begins_however_many_of_a_higher_one_arrive(play: Play) -> None:
    """Two evaluations each, one job at a time, and a new one before each of them."""
    low, high, count = -2, 1, 60
    jobs = [planned(low, 1), *(planned(high, 1) for _ in range(count))]
    arrivals = [Step(max(2 * number - 3, 0), "submit", number) for number in range(1, count + 1)]
    played = play(jobs, [Step(0, "submit", 0), *arrivals], concurrency=1)
    overtook = {number for evaluated in played.evaluations[: turns_of(played, 0)[0]] for number in evaluated.jobs}
    assert len(overtook) == AGEING * (high - low)
    assert all(handle.state is JobState.DONE for handle in played.handles.values())


def test_who_shares_the_evaluations_of_a_high_priority_is_not_charged_for_them(play: Play) -> None:
    """The first two are a batch, with 8 of 9 turns; the second one then has one turn for 8 of the third job."""
    jobs = [planned(3, batch=2), planned(-3, batch=2), planned(0, content=1)]
    played = play(jobs, [*submitted(3), Step(90, "cancel", 0), *cancelled(3, 150)])
    assert played.seen[2] == pytest.approx(10 + 53, abs=3)
    alone = [turn for turn in turns_of(played, 1) if turn >= 90]
    assert alone[0] - 90 <= 9
    assert {after - before for before, after in pairwise(alone)} == {9}


@pytest.mark.parametrize("action", ["cancel", "deadline"])
def test_a_low_priority_ends_before_the_next_evaluation_of_a_high_one(play: Play, action: str) -> None:
    low = replace(planned(-8), timeout_s=20.0 if action == "deadline" else None)
    cancel = [Step(20, "cancel", 1)] if action == "cancel" else []
    played = play([planned(8), low], [*submitted(2), *cancel, Step(40, "cancel", 0)])
    assert played.seen == Counter({0: 39, 1: 1})
    assert played.late == set()
    result = played.handles[1].result()
    assert result.outcome == ("cancelled" if action == "cancel" else "deadline")


def test_a_job_whose_budget_is_done_does_not_wait_for_a_turn(play: Play) -> None:
    ends = planned(-8)
    ends = replace(ends, settings=replace(ends.settings, evaluations=1))
    played = play([planned(8), ends, planned(-8)], [*submitted(3), *cancelled(3, 40)], concurrency=2)
    assert played.handles[1].result().outcome == "evaluations_done"
    assert (turns_of(played, 1), turns_of(played, 2)) == ([1], [2])  # the next one has its place at once


def test_a_value_that_is_not_finite_holds_nobody_up(play: Play) -> None:
    broken = planned()
    broken = replace(broken, settings=replace(LONG, init="noise", content_weight=NOT_FINITE))
    steps = [Step(0, "submit", 0), Step(0, "submit", 1), Step(5, "submit", 2), *cancelled(3, 30)]
    played = play([planned(), broken, planned(content=1)], steps)
    assert played.handles[1].state is JobState.FAILED
    assert 2 in played.prompt
    assert starved(played) == []
    assert played.seen[2] >= 10


def test_who_waits_for_a_safer_precision_can_be_cancelled(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = providers.choose("cpu")
    narrow = replace(plain, precision="bf16")  # float32 all the same
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    broken = replace(planned(), settings=replace(LONG, init="noise", content_weight=NOT_FINITE))
    steps = [*submitted(2), Step(10, "cancel", 1), Step(20, "cancel", 0)]
    played = play([planned(), broken], steps, provider=narrow)
    assert played.late == set()
    assert [handle.state for handle in played.handles.values()] == [JobState.CANCELLED] * 2
    assert played.seen == Counter({0: 19, 1: 1})
