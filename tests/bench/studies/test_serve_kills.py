"""The verdict of the study of kills, and whom it spares."""

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from impasto.bench.studies.serve_kills import BOTH, KINDS, SERVER, WORKER, broken, victim
from impasto.server.store.attempts import MOST_KILLED

KEPT: dict[str, Any] = {
    "accepted": 9, "done": 9, "lost": 0, "published_twice": 0, "keys_with_two_jobs": 0,
    "most_repeated_evaluations": 10, "largest_difference": 1e-7,
}  # fmt: skip


def test_all_promises_are_kept() -> None:
    assert broken(KEPT) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"done": 8}, "8 of 9 accepted jobs are done"),
        ({"lost": 1}, "1 accepted jobs are lost"),
        ({"published_twice": 1}, "1 results were published twice"),
        ({"keys_with_two_jobs": 2}, "2 keys have two jobs"),
        ({"most_repeated_evaluations": 11}, "an attempt repeated 11 evaluations"),
        ({"largest_difference": 0.01}, "a picture differs by 0.01"),
        ({"largest_difference": float("nan")}, "a picture differs by nan"),
    ],
)
def test_each_promise_can_be_broken(found: dict[str, Any], said: str) -> None:
    assert broken({**KEPT, **found}) == [said]


def test_no_job_loses_three_workers_to_the_study() -> None:
    for kind in KINDS:
        assert victim(kind, MOST_KILLED - 2) == kind
        assert victim(kind, MOST_KILLED - 1) == SERVER
    assert {WORKER, BOTH} <= set(KINDS)
