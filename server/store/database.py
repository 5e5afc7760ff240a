"""The journal's file: SQLite with one writer, whose transactions are on the disk when they end."""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

ReplyT = TypeVar("ReplyT")
Write = Callable[[sqlite3.Connection], Any]

_MOST_TOGETHER = 64
"""Writes in one transaction: they wait for the disk together."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, state TEXT NOT NULL,
  priority INTEGER NOT NULL, accepted_s REAL NOT NULL, queued_s REAL NOT NULL, started_s REAL, ended_s REAL,
  deadline_s REAL, network TEXT NOT NULL, settings TEXT NOT NULL, content_file TEXT, style_file TEXT, style_id TEXT,
  start_file TEXT, start_job TEXT, supersedes TEXT, names TEXT NOT NULL, tag TEXT, bytes INTEGER NOT NULL,
  predicted_s REAL NOT NULL, pixels INTEGER NOT NULL,
  token INTEGER NOT NULL DEFAULT 0, worker TEXT, killed INTEGER NOT NULL DEFAULT 0, last_error TEXT,
  stop TEXT, iteration INTEGER NOT NULL DEFAULT 0, evaluations INTEGER NOT NULL DEFAULT 0, loss REAL,
  outcome TEXT, message TEXT, summary TEXT, record TEXT, result_file TEXT, alpha_file TEXT, png_file TEXT,
  state_file TEXT, preview_file TEXT, files_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, priority);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY, job TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_job ON events (job, number);
CREATE TABLE IF NOT EXISTS idempotency (
  owner TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, job TEXT NOT NULL, made_s REAL NOT NULL,
  PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS styles (
  id TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, network TEXT NOT NULL,
  settings TEXT NOT NULL, image_file TEXT NOT NULL, matrices_file TEXT, error TEXT, made_s REAL NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY (owner, id)
);
CREATE TABLE IF NOT EXISTS deliveries (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, url TEXT NOT NULL, body TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, next_s REAL NOT NULL, state TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, next_s);
"""


class Database:
    """A file of SQLite. `write` may be called from any thread; one thread of its own writes.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._writes: queue.SimpleQueue[tuple[Write, Future[Any]] | None] = queue.SimpleQueue()
        self._connection = self._connect()
        self._connection.executescript(SCHEMA)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def submit(self, write: Callable[[sqlite3.Connection], ReplyT]) -> "Future[ReplyT]":
        """Run a function inside a transaction, and promise its value for the time when that is on the disk.

        An exception of the function undoes its own changes, and no others.
        """
        reply: Future[ReplyT] = Future()
        self._writes.put((write, reply))
        return reply

    def write(self, write: Callable[[sqlite3.Connection], ReplyT]) -> ReplyT:
        """Run a function inside a transaction, and return its value when that is on the disk."""
        return self.submit(write).result()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query, as of the latest finished transaction."""
        return self.reader().execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        found: sqlite3.Row | None = self.reader().execute(query, values).fetchone()
        return found

    def close(self) -> None:
        """End the writer after the writes that wait."""
        self._writes.put(None)
        self._thread.join()
        self._connection.close()

    def reader(self) -> sqlite3.Connection:
        """Return the calling thread's connection, which reads only."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
            found.execute("PRAGMA query_only = ON")
        return found

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what a client erases is gone
        return connection

    def _work(self) -> None:
        ended = False
        while not ended:
            waiting = [self._writes.get()]
            with contextlib.suppress(queue.Empty):
                while len(waiting) < _MOST_TOGETHER:
                    waiting.append(self._writes.get_nowait())
            ended = None in waiting
            if together := [item for item in waiting if item is not None]:
                self._transact(together)

    def _transact(self, together: list[tuple[Write, "Future[Any]"]]) -> None:
        """Run writes in one transaction; tell their callers only after it has ended."""
        replies: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            with self._transaction():
                for write, reply in together:
                    replies.append((reply, *self._run(write)))
        except BaseException as error:
            for _, reply in together:
                reply.set_exception(error)
            return
        for reply, value, failure in replies:
            if failure is None:
                reply.set_result(value)
            else:
                reply.set_exception(failure)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _run(self, write: Write) -> tuple[Any, Exception | None]:
        self._connection.execute("SAVEPOINT one")
        try:
            value = write(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:  # SQLite itself gave the whole transaction up, as on a full disk
                raise
            self._connection.execute("ROLLBACK TO one")
            return None, error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE one")
        return value, None
