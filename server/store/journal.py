"""The whole of what the server keeps, in one folder that one server at a time may use."""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from impasto.models.errors import ImpastoError, reason
from impasto.server.config import Retention
from impasto.server.store.attempts import Attempts
from impasto.server.store.database import Database
from impasto.server.store.events import Events
from impasto.server.store.files import Files
from impasto.server.store.jobs import Jobs, erase_rows
from impasto.server.store.records import INPUT_FILES, RESULT_FILES
from impasto.server.store.styles import Styles

_ENDED = "state NOT IN ('queued', 'running')"


class Journal:
    """The store. Closing it lets another server use the folder.

    Args:
        folder: made where it does not exist; only its owner may read it.
        retention: how long ended jobs are kept.

    Raises:
        ImpastoError: the folder cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path, retention: Retention) -> None:
        from filelock import FileLock, Timeout

        self.folder, self.retention = folder, retention
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.work = folder / "work"
            self.work.mkdir(exist_ok=True)
            self._lock = FileLock(folder / "lock")
            self._lock.acquire(timeout=0)
            self.files = Files(folder / "files")
            self.database = Database(folder / "journal.sqlite")
        except Timeout as error:
            raise ImpastoError(f"another server uses {folder}: stop it, or give another --data folder") from error
        except OSError as error:
            raise ImpastoError(f"cannot use {folder}: {reason(error)}; give another --data folder") from error
        except sqlite3.DatabaseError as error:
            raise ImpastoError(f"cannot use {folder}: {error}; give another --data folder") from error
        self.events = Events(self.database)
        self.jobs = Jobs(self.database, self.events)
        self.attempts = Attempts(self.database, self.events)
        self.styles = Styles(self.database)
        self.bytes_kept = 0

    def checkpoints(self, job: str) -> list[Path]:
        """Return the states that attempts at a job have saved, the newest first."""
        found = [path for path in self.work.glob(f"{job}.*.safetensors") if path.is_file()]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def clear_work(self, job: str) -> None:
        """Remove the files that attempts at a job have left."""
        for path in self.work.glob(f"{job}.*"):
            path.unlink(missing_ok=True)

    def forget(self, row: sqlite3.Row) -> None:
        """Remove the files of a job that was erased, unless another job or style uses them."""
        self.clear_work(row["id"])
        names = {row[column] for column in (*INPUT_FILES, *RESULT_FILES) if row[column] is not None}
        self.files.remove(names, self._used)
        for path in (self.folder / "formats").glob(f"{row['result_file']}.*"):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Erase what is older or larger than the retention allows, and the files that nothing uses."""
        now, kept = time.time(), self.retention
        self.database.write(lambda connection: _erase_old(connection, now - kept.age_s, now - kept.idempotency_s))
        self.database.write(lambda connection: _drop_states(connection, kept.states_bytes, self._size))
        self.bytes_kept = self.files.sweep(self._used)
        while self.bytes_kept > kept.total_bytes and self.database.write(_erase_oldest):
            self.bytes_kept = self.files.sweep(self._used)
        running = {row["id"] for row in self.database.rows("SELECT id FROM jobs WHERE state IN ('queued', 'running')")}
        for path in self.work.iterdir():
            if path.name.split(".")[0] not in running and now - path.stat().st_mtime > 60:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write what waits, and release the folder."""
        self.events.close()
        self.database.close()
        self._lock.release()

    def _used(self) -> set[str]:
        columns = [f"SELECT {name} FROM jobs" for name in (*INPUT_FILES, *RESULT_FILES)]
        columns += [f"SELECT {name} FROM styles" for name in ("image_file", "matrices_file")]
        return {row[0] for row in self.database.rows(" UNION ".join(columns)) if row[0] is not None}

    def _size(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return os.stat(self.files.path(name)).st_size  # noqa: PTH116 - the same
        return 0


def _erase_old(connection: sqlite3.Connection, before_s: float, keys_before_s: float) -> None:
    query = f"SELECT id FROM jobs WHERE {_ENDED} AND ended_s < ?"
    for row in connection.execute(query, (before_s,)).fetchall():
        erase_rows(connection, row["id"])
    connection.execute("DELETE FROM idempotency WHERE made_s < ?", (keys_before_s,))


def _erase_oldest(connection: sqlite3.Connection) -> bool:
    """Erase the job that ended first; return whether there was one."""
    found = connection.execute(f"SELECT id FROM jobs WHERE {_ENDED} ORDER BY ended_s LIMIT 1").fetchone()
    if found is None:
        return False
    logging.getLogger("impasto.server").info("erased job %s: the files are larger than the retention", found["id"])
    erase_rows(connection, found["id"])
    return True


def _drop_states(connection: sqlite3.Connection, most_bytes: int, size_of: Callable[[str], int]) -> None:
    """Forget the oldest states of ended jobs beyond a number of bytes."""
    query = f"SELECT number, state_file FROM jobs WHERE {_ENDED} AND state_file IS NOT NULL ORDER BY ended_s DESC"
    total = 0
    for row in connection.execute(query).fetchall():
        total += size_of(row["state_file"])
        if total > most_bytes:
            connection.execute("UPDATE jobs SET state_file = NULL WHERE number = ?", (row["number"],))
