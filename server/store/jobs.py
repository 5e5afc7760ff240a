"""What clients do to jobs, and see of them. Each step is one transaction."""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from impasto.server.errors import Problem, busy, conflict
from impasto.server.store.database import Database
from impasto.server.store.events import Events, append
from impasto.server.store.records import DEADLINE, ENDED, QUEUED, RUNNING, SUPERSEDED, NewJob, insert
from impasto.server.store.steps import change, owned, stop_job

AGEING_S = 600.0
"""A job gains one priority in each such time in the queue, so that no job waits for ever."""

ORDER = "(stop IS NOT NULL) DESC, priority + (:now - queued_s) / :ageing DESC, number"


class Jobs:
    """The jobs of the journal. All methods may be called from any thread.

    Args:
        database: the journal.
        events: of the jobs.
    """

    def __init__(self, database: Database, events: Events) -> None:
        self._database, self._events = database, events

    def accept(self, job: NewJob, check: Callable[[sqlite3.Connection], None]) -> tuple[str, bool]:
        """Put a job into the queue. Return its id, and whether it is new: an idempotency key returns the first job.

        Args:
            job: the job; its files are on the disk.
            check: refuses the job in the same transaction, after the idempotency key was looked up.

        Raises:
            Problem: the job is refused, or the idempotency key belongs to another request.
        """

        def write(connection: sqlite3.Connection) -> tuple[str, bool]:
            if job.idempotency is not None and (known := _known(connection, job)) is not None:
                return known, False
            check(connection)
            insert(connection, "jobs", job.row())
            if job.idempotency is not None:
                key, fingerprint = job.idempotency
                row = {"owner": job.owner, "key": key, "fingerprint": fingerprint, "job": job.id, "made_s": time.time()}
                insert(connection, "idempotency", row)
            if job.webhook is not None:
                row = {"job": job.id, "url": job.webhook, "next_s": 0.0, "state": "waiting"}
                insert(connection, "deliveries", row)
            append(connection, job.id, job.owner, "accepted", {"state": QUEUED})
            if job.supersedes is not None:
                stop_job(connection, job.supersedes, job.owner, SUPERSEDED)
            return job.id, True

        return self._events.write(write)

    def known(self, owner: str, key: str) -> sqlite3.Row | None:
        """Return the fingerprint and the job of an idempotency key, or None."""
        return self._database.row("SELECT * FROM idempotency WHERE owner = ? AND key = ?", owner, key)

    def get(self, job: str, owner: str) -> sqlite3.Row | None:
        """Return a job of an owner."""
        return self._database.row("SELECT * FROM jobs WHERE id = ? AND owner = ?", job, owner)

    def find(self, job: str) -> sqlite3.Row | None:
        """Return a job of any owner, for the server's own work."""
        return self._database.row("SELECT * FROM jobs WHERE id = ?", job)

    def page(
        self, owner: str, *, states: tuple[str, ...], tag: str | None, before: int | None, limit: int
    ) -> list[sqlite3.Row]:
        """Return jobs of an owner, the latest first, from those before a number."""
        conditions, values = ["owner = ?"], [owner]
        if states:
            conditions.append(f"state IN ({', '.join('?' * len(states))})")
            values.extend(states)
        for condition, value in (("tag = ?", tag), ("number < ?", before)):
            if value is not None:
                conditions.append(condition)
                values.append(value)  # type: ignore[arg-type]
        query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"
        return self._database.rows(query, *values, limit)

    def positions(self) -> Mapping[str, int]:
        """Return the place of each queued job, from 1 for the one that begins next."""
        query = f"SELECT id FROM jobs WHERE state = 'queued' ORDER BY {ORDER}"
        rows = self._database.rows(query.replace(":now", str(time.time())).replace(":ageing", str(AGEING_S)))
        return {row["id"]: place for place, row in enumerate(rows, 1)}

    def stop(self, job: str, owner: str, why: str) -> sqlite3.Row | None:
        """Ask a job to stop with the picture that it has. Return the job as it is afterwards; None if there is none."""
        return self._events.write(lambda connection: stop_job(connection, job, owner, why))

    def end_late(self) -> list[str]:
        """Stop the jobs whose deadline has passed. Return those that run."""
        late = "deadline_s IS NOT NULL AND deadline_s <= ? AND state IN ('queued', 'running') AND stop IS NULL"
        if self._database.row(f"SELECT 1 FROM jobs WHERE {late} LIMIT 1", time.time()) is None:
            return []

        def write(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(f"SELECT * FROM jobs WHERE {late}", (time.time(),)).fetchall()
            found = [stop_job(connection, row["id"], row["owner"], DEADLINE) for row in rows]
            return [row["id"] for row in found if row is not None and row["state"] == RUNNING]

        return self._events.write(write)

    def set_priority(self, job: str, owner: str, priority: int) -> sqlite3.Row | None:
        """Change the priority of a job that has not ended.

        Raises:
            Problem: it has ended.
        """

        def write(connection: sqlite3.Connection) -> sqlite3.Row | None:
            row = owned(connection, job, owner)
            if row is None:
                return None
            if row["state"] in ENDED:
                raise conflict(f"the job is {row['state']}; only a queued or running job has a priority")
            change(connection, row, {"priority": priority})
            append(connection, job, owner, "priority", {"priority": priority})
            return owned(connection, job, owner)

        return self._events.write(write)

    def resume(
        self, job: str, owner: str, settings: dict[str, Any], predicted_s: float, check: Callable[..., None]
    ) -> sqlite3.Row | None:
        """Queue an ended job again, from its last state and with other limits.

        Raises:
            Problem: its state is no longer kept, it has not ended, or the queue is full.
        """

        def write(connection: sqlite3.Connection) -> sqlite3.Row | None:
            row = owned(connection, job, owner)
            if row is None:
                return None
            if row["state"] not in ENDED:
                raise conflict(f"the job is {row['state']}; it can be resumed once it has ended")
            if row["state_file"] is None:
                raise conflict("the state of the job is not kept; submit a new job with start_job instead")
            check(connection)
            changes = {
                "state": QUEUED, "settings": json.dumps(settings), "queued_s": time.time(), "ended_s": None,
                "outcome": None, "message": None, "killed": 0, "predicted_s": predicted_s, "deadline_s": None,
            }  # fmt: skip
            change(connection, row, changes)
            append(connection, job, owner, "resumed", {"state": QUEUED})
            return owned(connection, job, owner)

        return self._events.write(write)

    def erase(self, job: str, owner: str) -> sqlite3.Row | None:
        """Remove a job with its events. Return it as it was; its files go with the next sweep."""

        def write(connection: sqlite3.Connection) -> sqlite3.Row | None:
            row = owned(connection, job, owner)
            if row is not None:
                erase_rows(connection, job)
            return row

        return self._events.write(write)

    def load(self) -> sqlite3.Row:
        """Return jobs, bytes and predicted seconds of the jobs that have not ended."""
        found: sqlite3.Row = load_of(self._database.row, None)
        return found


def load_of(row: Callable[..., Any], owner: str | None) -> Any:
    """Return jobs, bytes and predicted seconds of the jobs that have not ended, of one owner or of all."""
    query = """SELECT count(*) AS jobs, coalesce(sum(bytes), 0) AS bytes, coalesce(sum(predicted_s), 0) AS seconds
        FROM jobs WHERE state IN ('queued', 'running')"""
    return row(query) if owner is None else row(query + " AND owner = ?", owner)


def erase_rows(connection: sqlite3.Connection, job: str) -> None:
    """Remove a job and everything that belongs to it."""
    for table, column in (("jobs", "id"), ("events", "job"), ("idempotency", "job"), ("deliveries", "job")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (job,))


def _known(connection: sqlite3.Connection, job: NewJob) -> str | None:
    assert job.idempotency is not None  # noqa: S101 - the caller has checked it
    key, fingerprint = job.idempotency
    query = "SELECT fingerprint, job FROM idempotency WHERE owner = ? AND key = ?"
    found = connection.execute(query, (job.owner, key)).fetchone()
    if found is None:
        return None
    check_fingerprint(found["fingerprint"], fingerprint)
    return str(found["job"])


def check_fingerprint(known: str, given: str) -> None:
    """Refuse an idempotency key that belongs to another request."""
    if known != given:
        detail = "this Idempotency-Key belongs to a request with another body; use a new key"
        raise Problem(422, "idempotency-key-reused", "The Idempotency-Key is in use", detail)


__all__ = ["Jobs", "busy", "check_fingerprint", "erase_rows", "load_of"]
