"""What workers do to jobs. Each step is one transaction; a step under an old token changes nothing."""

import json
import sqlite3
import time

from impasto.server.store.database import Database
from impasto.server.store.events import Events, append
from impasto.server.store.jobs import AGEING_S, ORDER
from impasto.server.store.records import CANCELLED, DEADLINE, DONE, FAILED, QUARANTINED, QUEUED, RUNNING, Ending
from impasto.server.store.steps import change, end_job, held

MOST_KILLED = 3
"""Workers that a job may kill before it is quarantined."""


class Attempts:
    """The attempts at the jobs of the journal. All methods may be called from any thread.

    Args:
        database: the journal.
        events: of the jobs.
    """

    def __init__(self, database: Database, events: Events) -> None:
        self._database, self._events = database, events

    def take(self, worker: str, *, above: int, alone: bool) -> sqlite3.Row | None:
        """Give the next job to a worker under a new token.

        Args:
            worker: its name.
            above: priorities from this one on are taken.
            alone: whether the worker has no other job; a job that killed a worker is given to no other.
        """

        def write(connection: sqlite3.Connection) -> sqlite3.Row | None:
            query = f"""
                SELECT number FROM jobs WHERE state = 'queued' AND priority >= :above AND (killed = 0 OR :alone)
                AND NOT EXISTS (SELECT 1 FROM jobs AS s WHERE s.id = jobs.start_job
                                AND s.state IN ('queued', 'running'))
                AND NOT EXISTS (SELECT 1 FROM styles AS t WHERE t.id = jobs.style_id AND t.owner = jobs.owner
                                AND t.state = 'pending')
                ORDER BY {ORDER} LIMIT 1"""
            now = time.time()
            values = {"above": above, "alone": alone, "now": now, "ageing": AGEING_S}
            found = connection.execute(query, values).fetchone()
            if found is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', token = token + 1, worker = ?, started_s = coalesce(started_s, ?) "
                "WHERE number = ?",
                (worker, now, found["number"]),
            )
            job: sqlite3.Row = connection.execute("SELECT * FROM jobs WHERE number = ?", (found["number"],)).fetchone()
            append(connection, job["id"], job["owner"], "started", {"state": RUNNING, "attempt": job["token"]})
            return job

        if self._database.row("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1") is None:
            return None  # without waiting for the disk
        return self._events.write(write)

    def advance(self, job: str, token: int, iteration: int, evaluations: int, loss: float) -> None:
        """Record how far an attempt is; nobody waits for the disk."""
        self._database.submit(
            lambda connection: (
                connection.execute(
                    "UPDATE jobs SET iteration = ?, evaluations = ?, loss = ? WHERE id = ? AND token = ? AND "
                    "state = 'running'",
                    (iteration, evaluations, loss, job, token),
                ).rowcount
            )
        )

    def finish(self, job: str, token: int, ending: Ending) -> bool:
        """End a job, once: return False where the token is an old one, and change nothing."""

        def write(connection: sqlite3.Connection) -> bool:
            row = held(connection, job, token)
            if row is None:
                return False
            state, outcome = _end_of(row, ending)
            changes = {
                "state": state, "outcome": outcome, "message": ending.message, "ended_s": time.time(), "worker": None,
                "stop": None, "files_bytes": ending.files_bytes, **ending.files,
            }  # fmt: skip
            if ending.summary is not None:
                done = {name: ending.summary[name] for name in ("iterations", "evaluations", "loss")}
                changes |= {"iteration": done["iterations"], "evaluations": done["evaluations"], "loss": done["loss"]}
                changes |= {"summary": json.dumps(ending.summary), "record": json.dumps(ending.record)}
            change(connection, row, changes)
            end_job(connection, row, state, outcome, ending.message)
            return True

        return self._events.write(write)

    def interrupt(self, job: str, token: int) -> bool:
        """Put a job that saved its state back into the queue; False where the token is an old one."""

        def write(connection: sqlite3.Connection) -> bool:
            row = held(connection, job, token)
            if row is not None:
                change(connection, row, {"state": QUEUED, "worker": None})
                append(connection, job, row["owner"], "interrupted", {"state": QUEUED})
            return row is not None

        return self._events.write(write)

    def lose(self, job: str, token: int, reason: str, *, blames: bool = True) -> str | None:
        """Put the job of a dead worker back into the queue, or quarantine it. Return its state, or None.

        Args:
            job: its id.
            token: of the attempt.
            reason: why the worker has ended.
            blames: whether the job may have ended it, which counts towards the quarantine.
        """

        def write(connection: sqlite3.Connection) -> str | None:
            row = held(connection, job, token)
            if row is None:
                return None
            killed = row["killed"] + blames
            if killed < MOST_KILLED:
                change(connection, row, {"state": QUEUED, "worker": None, "killed": killed, "last_error": reason})
                append(connection, job, row["owner"], "interrupted", {"state": QUEUED, "reason": reason})
                return QUEUED
            message = f"{killed} workers ended while they ran this job: {reason}"
            changes = {"state": QUARANTINED, "outcome": QUARANTINED, "message": message, "killed": killed}
            change(connection, row, {**changes, "worker": None, "ended_s": time.time(), "last_error": reason})
            end_job(connection, row, QUARANTINED, QUARANTINED, message)
            return QUARANTINED

        return self._events.write(write)

    def recover(self) -> int:
        """Put the jobs that a killed server left running back into the queue. Return their number."""

        def write(connection: sqlite3.Connection) -> int:
            rows = connection.execute("SELECT * FROM jobs WHERE state = 'running'").fetchall()
            for row in rows:
                change(connection, row, {"state": QUEUED, "worker": None})
                append(connection, row["id"], row["owner"], "interrupted", {"state": QUEUED})
            return len(rows)

        return self._events.write(write)


def _end_of(row: sqlite3.Row, ending: Ending) -> tuple[str, str]:
    """Return the state and the outcome of a job whose run was stopped for a reason of the server."""
    if row["stop"] is None or ending.state != CANCELLED:
        return ending.state, ending.outcome
    has_picture = bool(ending.files.get("result_file"))
    if row["stop"] == DEADLINE:
        return (DONE if has_picture else FAILED), DEADLINE
    return CANCELLED, row["stop"]
