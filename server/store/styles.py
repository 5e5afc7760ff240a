"""Styles: an image, and the matrices that a worker makes of it once."""

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from impasto.server.errors import conflict
from impasto.server.store.database import Database
from impasto.server.store.records import FAILED, PENDING, READY, insert


@dataclass(frozen=True)
class NewStyle:
    """A style that is to be kept.

    Attributes:
        id: hash of the image and of everything that the matrices depend on.
    """

    id: str
    owner: str
    name: str
    network: str
    settings: dict[str, Any]
    image_file: str
    bytes: int


class Styles:
    """The styles of the journal. All methods may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, style: NewStyle) -> bool:
        """Keep a style. Return whether it is new: the same image and settings are kept once."""

        def write(connection: sqlite3.Connection) -> bool:
            query = "SELECT 1 FROM styles WHERE owner = ? AND id = ? AND state <> 'failed'"
            if connection.execute(query, (style.owner, style.id)).fetchone():
                return False
            connection.execute("DELETE FROM styles WHERE owner = ? AND id = ?", (style.owner, style.id))
            row = {**vars(style), "settings": json.dumps(style.settings), "state": PENDING, "made_s": time.time()}
            insert(connection, "styles", row)
            return True

        return self._database.write(write)

    def get(self, style: str, owner: str) -> sqlite3.Row | None:
        """Return a style of an owner."""
        return self._database.row("SELECT * FROM styles WHERE id = ? AND owner = ?", style, owner)

    def all(self, owner: str) -> list[sqlite3.Row]:
        """Return the styles of an owner, the latest first."""
        return self._database.rows("SELECT * FROM styles WHERE owner = ? ORDER BY made_s DESC LIMIT 1000", owner)

    def pending(self) -> list[sqlite3.Row]:
        """Return the styles whose matrices are to be made, the oldest first."""
        return self._database.rows("SELECT * FROM styles WHERE state = 'pending' ORDER BY made_s LIMIT 16")

    def count(self, owner: str) -> int:
        """Return the number of an owner's styles."""
        found = self._database.row("SELECT count(*) FROM styles WHERE owner = ?", owner)
        return 0 if found is None else int(found[0])

    def finish(self, style: str, owner: str, file: str | None, error: str | None) -> None:
        """Record the matrices of a style, or why there are none."""
        state = READY if file else FAILED
        self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE styles SET state = ?, matrices_file = ?, error = ? WHERE id = ? AND owner = ?",
                    (state, file, error, style, owner),
                ).rowcount
            )
        )

    def erase(self, style: str, owner: str) -> bool:
        """Remove a style. Return whether it was there.

        Raises:
            Problem: a job that has not ended uses it.
        """

        def write(connection: sqlite3.Connection) -> bool:
            query = "SELECT 1 FROM jobs WHERE style_id = ? AND owner = ? AND state IN ('queued', 'running')"
            if connection.execute(query, (style, owner)).fetchone():
                raise conflict("jobs that have not ended use the style; cancel them first")
            values = (style, owner)
            return connection.execute("DELETE FROM styles WHERE id = ? AND owner = ?", values).rowcount > 0

        return self._database.write(write)
