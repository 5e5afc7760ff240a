"""Servers and workers that are killed: nothing that was accepted is lost, and little is repeated."""

import io
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Settings
from impasto.server.store.records import NewJob
from impasto.server.work.protocol import Death, Message
from tests.server.running import CONTENT, NETWORK, SMALL, STYLE, RunningServer, SilentHome, make_service, wait_for

JOB: dict[str, Any] = {"size": 64, "iterations": 60, "preset": ""}


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    with Engine(NETWORK) as engine:
        return engine.transfer(CONTENT, STYLE, Settings(**JOB)).picture.pixels


def events_of(data: Path, job: str, kind: str) -> list[dict[str, int]]:
    with sqlite3.connect(data / "journal.sqlite") as connection:
        query = "SELECT data FROM events WHERE job = ? AND kind = ? ORDER BY number"
        return [json.loads(row[0]) for row in connection.execute(query, (job, kind))]


def test_killed_servers_and_workers_lose_nothing(tmp_path: Path, whole: np.ndarray) -> None:
    server = RunningServer(tmp_path / "data").start()
    client = server.client()
    jobs = [client.submit(CONTENT, STYLE, JOB) for _ in range(2)]
    wait_for(lambda: jobs[0].refresh().values["progress"]["iteration"] > 10, what="progress")
    workers = server.workers
    server.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in workers), 10, "the orphan's end")
    server.start()
    client = server.client()
    again = client.job(jobs[0].id)
    wait_for(lambda: again.refresh().values["progress"]["iteration"] > 30, what="more progress")
    os.kill(server.workers[0], signal.SIGKILL)
    for job in jobs:
        found = client.job(job.id).wait()
        assert found.values["summary"]["iterations"] == JOB["iterations"]
        pixels = np.load(io.BytesIO(found.file("npy"))) / np.float32(255)
        np.testing.assert_allclose(pixels, whole, atol=1e-6)
    assert client.job(jobs[0].id).values["attempts"] == 3
    assert server.stop() == 0
    runs = events_of(tmp_path / "data", jobs[0].id, "running")
    assert [run["repeated"] <= 10 for run in runs] == [True] * 3
    assert runs[1]["evaluations"] > 0, "the second attempt began with a state"
    assert runs[2]["evaluations"] > runs[1]["evaluations"]
    for job in jobs:
        assert len(events_of(tmp_path / "data", job.id, "ended")) == 1


def test_sigterm_saves_states_within_ten_seconds_and_the_next_start_carries_on(
    tmp_path: Path, whole: np.ndarray
) -> None:
    server = RunningServer(tmp_path / "data").start()
    client = server.client()
    job = client.submit(CONTENT, STYLE, JOB)
    wait_for(lambda: job.refresh().values["progress"]["iteration"] > 5, what="progress")
    begin_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin_s < 10
    server.start()
    found = server.client().job(job.id).wait()
    pixels = np.load(io.BytesIO(found.file("npy"))) / np.float32(255)
    np.testing.assert_allclose(pixels, whole, atol=1e-6)
    server.stop()
    runs = events_of(tmp_path / "data", job.id, "running")
    assert [run["repeated"] for run in runs] == [0, 0], "a drained job repeats nothing"


def test_readiness_fails_while_the_worker_is_stuck(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server, server.http() as http:
        wait_for(lambda: http.get("/health/ready").status_code == 200, what="the worker")
        pid = server.workers[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            answer = wait_for(lambda: (a := http.get("/health/ready")).status_code == 503 and a, 30, "the alarm")
            assert "has said nothing" in answer.json()["detail"]
            assert http.get("/health/live").status_code == 200
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: http.get("/health/ready").status_code == 200, what="the recovery")


def new_job() -> NewJob:
    return NewJob(
        owner="local", network=NETWORK, settings=Settings(**SMALL).as_dict(), content_file=None, style_file=None,
        style_id=None, start_file=None, start_job=None, supersedes=None, names={}, tag=None, priority=0,
        deadline_s=None, bytes=1, pixels=1, predicted_s=1.0,
    )  # fmt: skip


def test_a_job_that_kills_three_workers_is_quarantined(tmp_path: Path) -> None:
    service, homes = make_service(tmp_path / "data")
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    for number in range(3):
        wait_for(lambda: len(homes) > number and homes[number].received, 30, "a worker with the job")  # noqa: B023
        homes[number].kill()
    wait_for(lambda: service.journal.jobs.find(job)["state"] == "quarantined", 10, "the quarantine")  # type: ignore[index]
    wait_for(lambda: len(homes) == 4, 30, "the next worker")
    assert homes[3].received == []
    service.close()


def test_a_worker_that_dies_while_it_is_given_a_job_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal has given the job to the worker, and the worker has not heard of it."""
    service, homes = make_service(tmp_path / "data")
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    take = service.journal.attempts.take

    def take_and_die(worker: str, **more: Any) -> sqlite3.Row | None:
        row = take(worker, **more)
        if row is not None and row["token"] == 1:
            homes[0].kill()
        return row

    monkeypatch.setattr(service.journal.attempts, "take", take_and_die)
    service.supervisor.start()
    wait_for(lambda: len(homes) == 2 and homes[1].received, 30, "the second worker with the job")
    row = service.journal.jobs.find(job)
    assert row is not None
    assert (row["state"], row["token"], row["killed"]) == ("running", 2, 0)
    service.close()


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    made: list[SilentHome] = []

    class Home(SilentHome):
        def start(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
            made.append(self)
            if len(made) == 1:
                raise OSError(11, "Resource temporarily unavailable")
            super().start(receive, lost)

    service, _ = make_service(tmp_path / "data", homes=Home)
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    wait_for(lambda: len(made) == 2 and made[1].received, 30, "the second worker with the job")
    assert made[1].received[0].body["job"] == job
    service.close()


def test_a_stale_worker_publishes_nothing(tmp_path: Path) -> None:
    service, homes = make_service(tmp_path / "data")
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    wait_for(lambda: homes and homes[0].received, 10, "the job")
    stale = homes[0]
    stale.kill()
    wait_for(lambda: len(homes) == 2 and homes[1].received, 30, "the second attempt")
    picture = tmp_path / "data" / "work" / f"{job}.1.npy"
    picture.write_bytes(b"stale")
    body = {"job": job, "state": "done", "outcome": "x", "message": "x", "files": {"result_file": str(picture)},
            "summary": None, "record": None}  # fmt: skip
    stale.receive(Message("finished", {**body, "token": 1}))
    row = service.journal.jobs.find(job)
    assert row is not None
    assert (row["state"], row["result_file"]) == ("running", None)
    homes[1].receive(Message("finished", {**body, "token": 2, "files": {}}))
    homes[1].receive(Message("finished", {**body, "token": 2, "state": "failed", "files": {}}))
    row = service.journal.jobs.find(job)
    assert row is not None
    assert row["state"] == "done"
    service.close()


@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_what_an_attempt_told_before_its_end_is_kept(tmp_path: Path, end: str) -> None:
    """Events of progress wait for others, and are dropped where the job does not run."""
    service, homes = make_service(tmp_path / "data")
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    wait_for(lambda: homes and homes[0].received, 10, "the job")
    attempt = {"job": job, "token": 1, "files": {}}
    homes[0].receive(Message("event", {**attempt, "event": "running", "data": {"repeated": 0}}))
    if end == "killed":
        homes[0].kill()
    else:
        homes[0].receive(Message("interrupted", attempt))
    service.close()
    assert events_of(tmp_path / "data", job, "running") == [{"repeated": 0}]


def test_a_worker_names_no_file_outside_its_folder(tmp_path: Path) -> None:
    service, homes = make_service(tmp_path / "data")
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    wait_for(lambda: homes and homes[0].received, 10, "the job")
    body = {"job": job, "token": 1, "state": "done", "outcome": "x", "message": "x", "summary": None, "record": None}
    with pytest.raises(ValueError, match="outside its folder"):
        homes[0].receive(Message("finished", {**body, "files": {"result_file": str(tmp_path / "data" / "lock")}}))
    assert (tmp_path / "data" / "lock").exists()
    service.close()


def test_a_result_waits_for_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from impasto.server.store import files
    from impasto.server.work import reports

    service, homes = make_service(tmp_path / "data")
    monkeypatch.setattr(reports, "RETRY_S", 0.1)
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    service.supervisor.start()
    wait_for(lambda: homes and homes[0].received, 10, "the job")
    paths = {}
    for column, ending in (("result_file", "npy"), ("png_file", "png")):
        path = tmp_path / "data" / "work" / f"{job}.1.{ending}"
        path.write_bytes(column.encode())
        paths[column] = str(path)
    body = {"job": job, "token": 1, "state": "done", "outcome": "x", "message": "x", "summary": None, "record": None}
    real, calls = files.sync, []

    def sync(path: Path) -> None:
        calls.append(path)
        if 4 < len(calls) < 12:
            raise OSError(errno.ENOSPC, "full")
        real(path)

    monkeypatch.setattr(files, "sync", sync)
    homes[0].receive(Message("finished", {**body, "files": paths}))
    wait_for(lambda: service.journal.jobs.find(job)["state"] == "done", 20, "room")  # type: ignore[index]
    row = service.journal.jobs.find(job)
    assert row is not None
    for column in paths:
        assert service.journal.files.path(row[column]).read_bytes() == column.encode()
    service.close()
