"""How the study of load offers its requests, and what it calls broken."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from impasto.bench.studies import serve_load
from impasto.bench.studies.serve_load import LIMITS, broken, check_was_busy, offer
from impasto.models.errors import ImpastoError


def test_requests_do_not_wait_for_answers() -> None:
    begun_s: list[float] = []

    def call() -> None:
        begun_s.append(time.perf_counter())
        time.sleep(1.0)

    start_s = time.perf_counter()
    took_s = offer(call, 10, 20.0)
    assert begun_s[-1] - start_s < 1.0, "the tenth is sent before the first is answered"
    assert len(took_s) == 10
    assert min(took_s) >= 1.0


def test_a_late_request_is_timed_from_its_time() -> None:
    """A program that cannot send in time must not make the server look fast."""
    late = [True]

    def call() -> None:
        if late:
            late.clear()
            time.sleep(0.5)

    assert max(offer(call, 3, 1000.0)) >= 0.5


def test_a_server_that_waits_for_jobs_is_not_compared() -> None:
    check_was_busy(100.0, 300)
    with pytest.raises(ImpastoError, match="300 pictures in 61 s, and they arrived in 60 s: it was not always busy"):
        check_was_busy(61.0, 300)


@pytest.mark.parametrize("limit", LIMITS)
def test_each_limit_can_be_broken(limit: str) -> None:
    bad = 0.5 if limit == "of_batch" else 2 * LIMITS[limit]
    (said,) = broken({"part": {"found": {**LIMITS, limit: bad}}})
    assert limit in said
    assert broken({"part": {"found": LIMITS}}) == []
    assert broken({"part": {"broken": ["x"]}}) == ["part: x"]


def test_the_record_is_written_after_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "load.json"

    def fails(folder: Path, seconds: float) -> dict[str, Any]:
        assert json.loads(file.read_text())["parts"]["queue"]["found"] == {"growth_mib": 51.0}
        raise ImpastoError("no tmpfs")

    parts = {"queue": lambda folder, seconds: {"found": {"growth_mib": 51.0}}, "disk": fails}
    monkeypatch.setattr(serve_load, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["serve_load", "--json", str(file)])
    with pytest.raises(ImpastoError, match="no tmpfs"):
        serve_load.main()
    monkeypatch.setattr(sys, "argv", ["serve_load", "--json", str(file), "--only", "queue"])
    with pytest.raises(ImpastoError, match="did not hold: queue: growth_mib is 51, the limit is 50"):
        serve_load.main()
    assert list(json.loads(file.read_text())["parts"]) == ["queue"]
