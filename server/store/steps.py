"""Steps of a job's life inside a transaction."""

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from impasto.server.store.events import append
from impasto.server.store.records import CANCELLED, DEADLINE, ENDED, FAILED, QUEUED, SUPERSEDED

_STOPPED = {
    DEADLINE: "the deadline passed before the first evaluation",
    SUPERSEDED: "another job took its place before the first evaluation",
}


def owned(connection: sqlite3.Connection, job: str, owner: str) -> sqlite3.Row | None:
    """Return a job of an owner."""
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE id = ? AND owner = ?", (job, owner)
    ).fetchone()
    return found


def held(connection: sqlite3.Connection, job: str, token: int) -> sqlite3.Row | None:
    """Return a running job, if the token is that of its latest attempt."""
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE id = ? AND token = ? AND state = 'running'", (job, token)
    ).fetchone()
    return found


def change(connection: sqlite3.Connection, row: sqlite3.Row, changes: Mapping[str, Any]) -> None:
    """Change columns of a job."""
    columns = ", ".join(f"{name} = ?" for name in changes)
    connection.execute(f"UPDATE jobs SET {columns} WHERE number = ?", (*changes.values(), row["number"]))


def stop_job(connection: sqlite3.Connection, job: str, owner: str, why: str) -> sqlite3.Row | None:
    """Ask a job to stop with the picture that it has; end it at once if it never ran."""
    row = owned(connection, job, owner)
    if row is None or row["state"] in ENDED:
        return row
    if row["state"] == QUEUED and row["token"] == 0:  # it has no picture
        state = FAILED if why == DEADLINE else CANCELLED
        message = _STOPPED.get(why, "the job was cancelled before its first evaluation")
        change(connection, row, {"state": state, "outcome": why, "message": message, "ended_s": time.time()})
        end_job(connection, row, state, why, message)
    elif row["stop"] is None:  # a queued one is taken next, and ends with the picture of its last state
        change(connection, row, {"stop": why})
        append(connection, job, owner, "stopping", {"why": why})
    return owned(connection, job, owner)


def end_job(connection: sqlite3.Connection, row: sqlite3.Row, state: str, outcome: str, message: str) -> None:
    """Tell the watchers and the webhook of a job's end."""
    append(connection, row["id"], row["owner"], "ended", {"state": state, "outcome": outcome, "message": message})
    connection.execute(
        "UPDATE deliveries SET state = 'due', next_s = ? WHERE job = ? AND state = 'waiting'", (time.time(), row["id"])
    )
