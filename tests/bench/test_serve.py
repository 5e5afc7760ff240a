"""`impasto bench serve`: from a server that it starts to the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from impasto.bench import serving
from impasto.bench.scenarios import Query
from impasto.bench.series import summarise
from impasto.bench.serving import Offer, _facts, _queries, _Seen, _Sent
from impasto.client import Client
from impasto.client.events import RemoteEvent
from impasto.models.errors import ImpastoError
from tests.bench.command import ON_CPU, bench, measured


def test_file_and_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ("--evaluations", 2, "--load", 0.5, "--rate", 20)
    found, ended = measured(capsys, tmp_path, "serve", *ON_CPU, *options)
    slow, fast = found["series"]
    assert [item["name"] for item in found["series"]] == ["serve, 0.5 load", "serve, 20/s"]
    for item in (slow, fast):
        assert (item["unit"], item["evaluations"], item["refused"], item["model"]) == ("query", 2, 0, "vgg19-slim")
        assert len(item["samples_s"]) == len(item["queueing_s"]) == len(item["service_s"]) >= 5
        for sample, *parts in zip(item["samples_s"], item["queueing_s"], item["service_s"], strict=True):
            assert sample == pytest.approx(sum(parts))
        assert item["queueing_summary_s"] == pytest.approx(summarise(item["queueing_s"]))
        assert min(item["service_s"]) > 0
        assert item["pictures_per_hour"] == pytest.approx(3600 * item["throughput_per_s"])
    assert slow["rate_per_s"] == pytest.approx(0.5 * slow["capacity_per_s"])
    assert fast["offered_per_hour"] > fast["pictures_per_hour"], "the last job ends after it came"
    heading, *rows = ended.out.splitlines()
    assert heading.split()[:5] == ["what", "px", "offered/h", "made/h", "refused"]
    assert [row.split("  ")[0] for row in rows[:2]] == ["serve, 0.5 load", "serve, 20/s"]
    assert found["asked"]["server"] == "started here"


@pytest.mark.parametrize(
    "options",
    [
        ("--load", 0), ("--rate", -1), ("--rate", "nan"), ("--seed", -1), ("--workers", 0), ("--evaluations", 0),
        ("--server", "x"), ("--model", "none"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], options: tuple[object, ...]) -> None:
    ended = bench(capsys, "serve", *options, "-q")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)


def test_a_queue_and_the_work_are_told_apart() -> None:
    seen = _Seen({("started", "a"): 12.0, ("ended", "a"): 15.0, ("started", "b"): 15.0, ("ended", "b"): 16.0})
    seen.states = {"a": "done", "b": "cancelled"}
    sent = [_Sent(1.0, 0.1, "a"), _Sent(2.0, 0.1, "b"), _Sent(4.0, 0.1, None)]
    made = _queries(seen, sent, 10.0)
    assert made == {"a": Query(1.0, 2.0, 5.0)}
    facts = _facts(list(made.values()), sent, {"provider": "cpu", "precision": "fp32", "model": "m"})
    assert (facts["queueing_s"], facts["service_s"], facts["refused"]) == ([1.0], [3.0], 1)
    assert facts["pictures_per_hour"] == pytest.approx(3600 / 5)
    assert facts["offered_per_hour"] == pytest.approx(3600 * 3 / 4)


def test_events_that_break_off_end_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def all_events(self) -> Iterator[RemoteEvent]:
            yield RemoteEvent(1, "ended", {"render": "a", "state": "done"})
            raise ImpastoError("no answer from http://server")

    seen = _Seen()
    seen.follow(cast(Client, Broken()))
    seen.wait_for(["a"])
    with pytest.raises(ImpastoError, match="the events of the server broke off: no answer from"):
        seen.wait_for(["a", "b"])
    monkeypatch.setattr(serving, "_PATIENCE_S", 0.1)
    with pytest.raises(ImpastoError, match=r"told nothing for 0\.1 s; jobs that have not ended: 1"):
        _Seen(states={"a": "done"}).wait_for(["a", "b"])


def test_an_offer_out_of_range_is_refused() -> None:
    with pytest.raises(ImpastoError, match="bad --load inf"):
        Offer(loads=(float("inf"),))
