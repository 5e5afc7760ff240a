"""Random schedules of jobs, and the promises that hold for each of them.

`python -m impasto.bench.studies.schedules` plays many more, on a real network.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import Settings
from impasto.engine.jobs import group
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.queue import Queued
from impasto.engine.jobs.scheduler import Scheduler
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.runtime.evaluator import Evaluator
from tests.engine.jobs.schedule_check import Checker, Verdict
from tests.engine.jobs.schedules import random_schedule
from tests.small_network import features_model

SCHEDULES = 30
BASE = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5)
_RNG = np.random.default_rng(0)
CONTENTS = [
    np.kron(_RNG.integers(0, 255, (*sides, 3), np.uint8), np.ones((8, 8, 1), np.uint8)) for sides in ((4, 5), (5, 4))
]
STYLES = [_RNG.integers(0, 255, (32, side, 3), np.uint8) for side in (32, 40)]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    """Of the small network, with images of two sizes."""
    model = tmp_path_factory.mktemp("schedules") / "small.onnx"
    ir.save(features_model(), model)
    with Checker(str(model), "cpu", CONTENTS, STYLES) as checker:
        yield checker


@pytest.fixture(scope="module")
def verdicts(checker: Checker) -> dict[int, Verdict]:
    return {seed: checker.check(random_schedule(seed, BASE)) for seed in range(SCHEDULES)}


def test_every_job_ends_as_the_model_of_the_queue_says_and_like_its_single_run(verdicts: dict[int, Verdict]) -> None:
    assert {seed: verdict.problems for seed, verdict in verdicts.items() if verdict.problems} == {}


def test_the_schedules_have_what_can_happen(verdicts: dict[int, Verdict]) -> None:
    endings = {(ending.state, ending.outcome) for verdict in verdicts.values() for ending in verdict.endings}
    assert endings >= {
        ("done", "iterations_done"),
        ("done", "evaluations_done"),
        ("done", "deadline"),
        ("cancelled", "cancelled"),
        ("cancelled", None),
        ("failed", None),
    }
    assert sum(verdict.growths for verdict in verdicts.values()) > 0
    assert sum(verdict.shared for verdict in verdicts.values()) > SCHEDULES
    assert sum(verdict.prompt for verdict in verdicts.values()) > SCHEDULES
    assert sum(verdict.identical for verdict in verdicts.values()) > SCHEDULES


def first_come(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Queued, "rank", property(lambda self: (0, self.number)))


def all_samples_alike(patch: pytest.MonkeyPatch) -> None:
    score = Evaluator._score
    patch.setattr(Evaluator, "_score", lambda self, outputs, sample: score(self, outputs, 0))


def growth_at_any_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(group, "LEAST_GROWTH_ITERATIONS", 0)


def limits_at_the_own_turn(patch: pytest.MonkeyPatch) -> None:
    take_turn = Group.take_turn

    def turn(self: Group, chosen: Active) -> Sequence[Active]:
        for member in [chosen] if self.takes_turns else self.members:
            member.run.ask()
        return take_turn(self, chosen)

    patch.setattr(Scheduler, "_end_stopped", lambda self: False)
    patch.setattr(Group, "take_turn", turn)


def waiting_in_vain(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Workshop, "has_safer", lambda self, provider: True)


@pytest.mark.parametrize(
    "mistake", [first_come, all_samples_alike, growth_at_any_time, limits_at_the_own_turn, waiting_in_vain]
)
def test_a_mistake_in_the_engine_is_found(
    checker: Checker, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mistake(monkeypatch)
    assert any(checker.check(random_schedule(seed, BASE)).problems for seed in range(SCHEDULES))
