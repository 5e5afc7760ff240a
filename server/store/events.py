"""The events of jobs: numbered in the order in which they are on the disk, so that a watcher misses none."""

import json
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from impasto.server.store.database import Database, ReplyT

FLUSH_S = 0.2
"""How long an event of progress may wait for others: each flush waits for the disk once."""

_MOST_WAITING = 5000


def append(connection: sqlite3.Connection, job: str, owner: str, kind: str, data: dict[str, Any]) -> None:
    """Add an event to the transaction that it tells of."""
    connection.execute(
        "INSERT INTO events (number, job, owner, kind, data) VALUES (?, ?, ?, ?, ?)",
        (_next_number(connection), job, owner, kind, json.dumps(data)),
    )


def _next_number(connection: sqlite3.Connection) -> int:
    """Return the next number; none is used twice, also after events were erased."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('event', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
    )
    return int(connection.execute("SELECT value FROM meta WHERE name = 'event'").fetchone()[0])


class Events:
    """Reads events, and writes those of progress, several in one transaction.

    Args:
        database: the journal.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str, str, dict[str, Any]]] = []
        self._listeners: list[Callable[[], None]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function, in another thread, after events may have been added."""
        self._listeners.append(listener)

    def write(self, write: Callable[[sqlite3.Connection], ReplyT]) -> ReplyT:
        """Run a transaction that may add events, and call the listeners when it is on the disk."""
        value = self._database.write(write)
        self._tell()
        return value

    def progress(self, job: str, owner: str, kind: str, data: dict[str, Any]) -> None:
        """Add an event that may be lost in a crash."""
        with self._lock:
            if len(self._waiting) < _MOST_WAITING:  # else the disk is slower than the workers
                self._waiting.append((job, owner, kind, data))

    def flush(self) -> None:
        """Write the events that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self.write(lambda connection: self._insert(connection, waiting))

    def after(self, number: int, owner: str, job: str | None = None, limit: int = 256) -> list[sqlite3.Row]:
        """Return the events after a number, of one job or of all jobs of an owner."""
        if job is None:
            query = "SELECT * FROM events WHERE number > ? AND owner = ? ORDER BY number LIMIT ?"
            return self._database.rows(query, number, owner, limit)
        query = "SELECT * FROM events WHERE number > ? AND job = ? AND owner = ? ORDER BY number LIMIT ?"
        return self._database.rows(query, number, job, owner, limit)

    def bytes_after(self, number: int, owner: str, job: str | None = None) -> int:
        """Return how many bytes of events a watcher is behind."""
        condition, more = ("job = ?", (job,)) if job is not None else ("1", ())
        query = f"SELECT coalesce(sum(length(data)), 0) FROM events WHERE number > ? AND owner = ? AND {condition}"
        found = self._database.row(query, number, owner, *more)
        return int(found[0]) if found is not None else 0

    def latest(self) -> int:
        """Return the number of the latest event."""
        found = self._database.row("SELECT value FROM meta WHERE name = 'event'")
        return 0 if found is None else int(found[0])

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    def close(self) -> None:
        """Write the events that wait, and stop."""
        self._stopped.set()
        self._thread.join()
        self.flush()

    @staticmethod
    def _insert(connection: sqlite3.Connection, waiting: list[tuple[str, str, str, dict[str, Any]]]) -> None:
        known = {row[0] for row in connection.execute("SELECT id FROM jobs WHERE state = 'running'")}
        for job, owner, kind, data in waiting:
            if job in known:  # no progress after the end, and none of a job that was erased
                append(connection, job, owner, kind, data)

    def _work(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            try:
                self.flush()
            except Exception as error:  # a full disk: progress may be lost, jobs may not
                _log(error)


def _log(error: Exception) -> None:
    import logging

    logging.getLogger("impasto.server").warning("events were lost: %s", type(error).__name__)
