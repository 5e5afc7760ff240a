"""The state machine of jobs: each accepted job ends once, whatever dies."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from impasto.models.errors import ImpastoError
from impasto.server.config import Retention
from impasto.server.errors import Problem
from impasto.server.store.attempts import MOST_KILLED
from impasto.server.store.journal import Journal
from impasto.server.store.records import Ending, NewJob


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "data", Retention())
    yield found
    found.close()


def new(**changes: Any) -> NewJob:
    values: dict[str, Any] = {
        "owner": "a", "network": "n", "settings": {"iterations": 10}, "content_file": None, "style_file": None,
        "style_id": None, "start_file": None, "start_job": None, "supersedes": None, "names": {}, "tag": None,
        "priority": 0, "deadline_s": None, "bytes": 1, "pixels": 1, "predicted_s": 1.0,
    }  # fmt: skip
    return NewJob(**{**values, **changes})


def accept(journal: Journal, **changes: Any) -> str:
    return journal.jobs.accept(new(**changes), lambda connection: None)[0]


def take(journal: Journal, *, above: int = -8, alone: bool = True) -> Any:
    return journal.attempts.take("w", above=above, alone=alone)


def state(journal: Journal, job: str) -> str:
    row = journal.jobs.find(job)
    assert row is not None
    return str(row["state"])


DONE = Ending("done", "iterations_done", "all iterations are done")
CANCELLED = Ending("cancelled", "cancelled", "the run was cancelled")


def test_the_order_is_priority_then_age(journal: Journal) -> None:
    first, second, urgent = accept(journal), accept(journal), accept(journal, priority=2)
    assert journal.jobs.positions() == {urgent: 1, first: 2, second: 3}
    assert [take(journal)["id"] for _ in range(3)] == [urgent, first, second]
    assert take(journal) is None


def test_a_job_that_waits_long_overtakes_one_of_a_higher_priority(journal: Journal) -> None:
    old, urgent = accept(journal), accept(journal, priority=2)
    journal.database.write(
        lambda connection: connection.execute("UPDATE jobs SET queued_s = ? WHERE id = ?", (time.time() - 1801, old))
    )
    assert [take(journal)["id"] for _ in range(2)] == [old, urgent]


def test_an_old_token_changes_nothing(journal: Journal) -> None:
    job = accept(journal)
    stale = take(journal)["token"]
    assert journal.attempts.lose(job, stale, "killed") == "queued"
    fresh = take(journal)["token"]
    assert not journal.attempts.finish(job, stale, DONE)
    assert not journal.attempts.interrupt(job, stale)
    assert journal.attempts.lose(job, stale, "killed") is None
    journal.attempts.advance(job, stale, 9, 9, 1.0)
    row = journal.jobs.find(job)
    assert row is not None
    assert (row["state"], row["iteration"], row["killed"]) == ("running", 0, 1)
    assert journal.attempts.finish(job, fresh, DONE)


def test_a_result_is_published_once(journal: Journal) -> None:
    job = accept(journal)
    token = take(journal)["token"]
    assert journal.attempts.finish(job, token, DONE)
    assert not journal.attempts.finish(job, token, Ending("failed", "failed", "too late"))
    assert state(journal, job) == "done"
    assert [row["kind"] for row in journal.events.after(0, "a", job)] == ["accepted", "started", "ended"]


def test_a_killed_server_loses_no_job(tmp_path: Path) -> None:
    before = Journal(tmp_path / "data", Retention())
    running, waiting = accept(before), accept(before)
    stale = take(before)["token"]
    before.close()  # without the end of any job
    after = Journal(tmp_path / "data", Retention())
    assert after.attempts.recover() == 1
    assert [state(after, job) for job in (running, waiting)] == ["queued", "queued"]
    assert take(after)["token"] == stale + 1
    row = after.jobs.find(running)
    assert row is not None
    assert row["killed"] == 0, "the server's death is not the job's fault"
    after.close()


def test_a_job_that_kills_workers_is_quarantined_with_its_error(journal: Journal) -> None:
    job, other = accept(journal), accept(journal)
    for attempt in range(1, MOST_KILLED + 1):
        row = take(journal)
        assert row["id"] == job
        assert journal.attempts.lose(job, row["token"], f"SIGSEGV {attempt}") == (
            "quarantined" if attempt == MOST_KILLED else "queued"
        )
    row = journal.jobs.find(job)
    assert row is not None
    assert row["last_error"] == "SIGSEGV 3"
    assert "SIGSEGV 3" in row["message"]
    assert take(journal)["id"] == other


def test_a_lost_machine_is_not_the_doing_of_a_job(journal: Journal) -> None:
    job = accept(journal)
    for _ in range(MOST_KILLED + 1):
        assert journal.attempts.lose(job, take(journal)["token"], "the machine has left", blames=False) == "queued"
    row = take(journal, alone=False)
    assert (row["id"], row["killed"]) == (job, 0), "it is no suspect"


def test_a_suspect_runs_alone(journal: Journal) -> None:
    suspect = accept(journal)
    journal.attempts.lose(suspect, take(journal)["token"], "killed")
    other = accept(journal)
    assert take(journal, alone=False)["id"] == other
    assert take(journal, alone=False) is None
    assert take(journal, alone=True)["id"] == suspect


def test_cancelling_a_queued_job_ends_it(journal: Journal) -> None:
    job = accept(journal)
    row = journal.jobs.stop(job, "a", "cancelled")
    assert row is not None
    assert row["state"] == "cancelled"
    assert take(journal) is None
    assert journal.jobs.stop(job, "a", "cancelled") is not None, "an ended job does not change"


def test_cancelling_an_interrupted_job_lets_a_worker_publish_its_picture(journal: Journal) -> None:
    job, first = accept(journal), accept(journal, priority=5)
    token = take(journal)["token"]
    assert journal.attempts.interrupt(first, token)
    row = journal.jobs.stop(first, "a", "cancelled")
    assert row is not None
    assert (row["state"], row["stop"]) == ("queued", "cancelled")
    taken = take(journal)
    assert taken["id"] == first
    assert journal.attempts.finish(first, taken["token"], CANCELLED)
    assert state(journal, first) == "cancelled"
    assert take(journal)["id"] == job


@pytest.mark.parametrize(("why", "files", "ends"), [
    ("cancelled", {"result_file": "f"}, ("cancelled", "cancelled")),
    ("superseded", {"result_file": "f"}, ("cancelled", "superseded")),
    ("deadline", {"result_file": "f"}, ("done", "deadline")),
    ("deadline", {}, ("failed", "deadline")),
])  # fmt: skip
def test_why_a_job_stopped_is_its_outcome(
    journal: Journal, why: str, files: dict[str, str], ends: tuple[str, str]
) -> None:
    job = accept(journal)
    token = take(journal)["token"]
    journal.jobs.stop(job, "a", why)
    assert journal.attempts.finish(job, token, Ending("cancelled", "cancelled", "stopped", files))
    row = journal.jobs.find(job)
    assert row is not None
    assert (row["state"], row["outcome"]) == ends


def test_deadlines_end_queued_jobs_and_stop_running_ones(journal: Journal) -> None:
    running = accept(journal, deadline_s=0.001)
    take(journal)
    queued = accept(journal, deadline_s=0.001)
    time.sleep(0.01)
    assert journal.jobs.end_late() == [running]
    assert state(journal, queued) == "failed"
    assert journal.jobs.end_late() == []


def test_superseding_stops_the_job_in_the_same_transaction(journal: Journal) -> None:
    draft = accept(journal)
    new_draft = accept(journal, supersedes=draft, start_job=draft)
    assert state(journal, draft) == "cancelled"
    assert take(journal)["id"] == new_draft


def test_a_job_waits_for_the_job_that_it_starts_from(journal: Journal) -> None:
    first = accept(journal)
    token = take(journal)["token"]
    accept(journal, start_job=first)
    assert take(journal, alone=False) is None
    journal.attempts.finish(first, token, DONE)
    assert take(journal)["start_job"] == first


def test_an_idempotency_key_gives_the_first_job(journal: Journal) -> None:
    job, is_new = journal.jobs.accept(new(idempotency=("k", "f")), lambda connection: None)
    assert is_new
    again = journal.jobs.accept(new(idempotency=("k", "f")), lambda connection: pytest.fail("not checked again"))
    assert again == (job, False)
    with pytest.raises(Problem) as refused:
        journal.jobs.accept(new(idempotency=("k", "other")), lambda connection: None)
    assert refused.value.status == 422
    assert journal.jobs.accept(new(owner="b", idempotency=("k", "other")), lambda connection: None)[1]


def test_a_refusal_leaves_nothing(journal: Journal) -> None:
    def refuse(connection: Any) -> None:
        raise Problem(429, "queue-full", "full", "full")

    with pytest.raises(Problem):
        journal.jobs.accept(new(idempotency=("k", "f"), webhook="https://h/"), refuse)
    for table in ("jobs", "events", "idempotency", "deliveries"):
        assert journal.database.rows(f"SELECT * FROM {table}") == []  # noqa: S608


def test_jobs_of_another_key_do_not_exist(journal: Journal) -> None:
    job = accept(journal)
    assert journal.jobs.get(job, "b") is None
    assert journal.jobs.stop(job, "b", "cancelled") is None
    assert journal.jobs.erase(job, "b") is None
    assert journal.jobs.set_priority(job, "b", 1) is None
    assert journal.jobs.resume(job, "b", {}, 1.0, lambda connection: None) is None
    assert journal.jobs.page("b", states=(), tag=None, before=None, limit=9) == []
    assert journal.events.after(0, "b") == []
    assert state(journal, job) == "queued"


def test_event_numbers_are_never_used_twice(journal: Journal) -> None:
    job = accept(journal)
    number = journal.events.latest()
    journal.jobs.erase(job, "a")
    accept(journal)
    assert journal.events.after(0, "a")[0]["number"] == number + 1


def test_progress_after_the_end_is_dropped(journal: Journal) -> None:
    job = accept(journal)
    token = take(journal)["token"]
    journal.events.progress(job, "a", "iteration", {"iteration": 1})
    journal.events.flush()
    journal.attempts.finish(job, token, DONE)
    journal.events.progress(job, "a", "iteration", {"iteration": 2})
    journal.events.flush()
    kinds = [(row["kind"], json.loads(row["data"]).get("iteration")) for row in journal.events.after(0, "a", job)]
    assert kinds == [("accepted", None), ("started", None), ("iteration", 1), ("ended", None)]


def test_two_servers_do_not_share_a_folder(journal: Journal) -> None:
    with pytest.raises(ImpastoError, match="another server uses"):
        Journal(journal.folder, Retention())


def kept_file(journal: Journal, data: bytes) -> str:
    incoming = journal.files.incoming()
    incoming.write(data)
    name = incoming.keep()
    journal.files.unpin([name])
    return name


def test_the_sweep_removes_old_jobs_and_unused_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "data", Retention(age_s=0.0))
    used, ended, unused = (kept_file(journal, text) for text in (b"used", b"ended", b"unused"))
    waiting = accept(journal, content_file=used)
    old = accept(journal, content_file=ended, priority=1)
    journal.attempts.finish(old, take(journal)["token"], DONE)
    time.sleep(0.01)
    journal.sweep()
    assert journal.jobs.find(old) is None
    assert journal.jobs.find(waiting) is not None
    assert [journal.files.path(name).exists() for name in (used, ended, unused)] == [True, False, False]
    journal.close()


def test_the_sweep_erases_the_oldest_beyond_the_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "data", Retention(total_bytes=150))
    jobs = []
    for number in range(3):
        job = accept(journal, content_file=kept_file(journal, bytes([number]) * 100))
        journal.attempts.finish(job, take(journal)["token"], DONE)
        jobs.append(job)
    journal.sweep()
    assert [journal.jobs.find(job) is not None for job in jobs] == [False, False, True]
    assert journal.bytes_kept == 100
    journal.close()


def test_a_pinned_file_survives_the_sweep(journal: Journal) -> None:
    with journal.files.pinned() as pin:
        incoming = journal.files.incoming()
        incoming.write(b"data")
        name = incoming.keep()
        pin(name)
        journal.sweep()
        assert journal.files.path(name).exists()
    journal.sweep()
    assert not journal.files.path(name).exists()


def test_a_name_that_is_no_hash_is_no_file(journal: Journal) -> None:
    for name in ("../journal.sqlite", "a" * 63, "A" * 64, f"{'a' * 63}/"):
        with pytest.raises(ValueError, match="no hash"):
            journal.files.path(name)


def test_a_write_that_fails_undoes_itself_alone(journal: Journal) -> None:
    def fail(connection: Any) -> None:
        connection.execute("INSERT INTO meta (name, value) VALUES ('x', 1)")
        raise KeyError("x")

    good = [journal.database.submit(lambda c: c.execute("SELECT 1").fetchone()[0]) for _ in range(3)]
    bad = journal.database.submit(fail)
    more = journal.database.submit(lambda c: c.execute("INSERT INTO meta (name, value) VALUES ('y', 2)").rowcount)
    assert [future.result() for future in good] == [1, 1, 1]
    with pytest.raises(KeyError):
        bad.result()
    assert more.result() == 1
    rows = journal.database.rows("SELECT name FROM meta WHERE name IN ('x', 'y')")
    assert [row["name"] for row in rows] == ["y"]


def test_commits_reach_the_disk(journal: Journal) -> None:
    row = journal.database.write(lambda c: (c.execute("PRAGMA synchronous").fetchone()[0],
                                            c.execute("PRAGMA journal_mode").fetchone()[0]))  # fmt: skip
    assert row == (2, "wal")
