"""Jobs and styles as the journal holds them."""

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

QUEUED, RUNNING, DONE, CANCELLED, FAILED, QUARANTINED = STATES = (
    "queued",
    "running",
    "done",
    "cancelled",
    "failed",
    "quarantined",
)
"""States of a job. It begins as queued; the last four are its ends."""

ENDED = (DONE, CANCELLED, FAILED, QUARANTINED)

CANCEL, SUPERSEDED, DEADLINE = "cancelled", "superseded", "deadline"
"""Why a job is to stop with the picture that it has."""

PENDING, READY = "pending", "ready"
"""States of a style, besides failed."""


@dataclass(frozen=True)
class NewJob:
    """A job that is to be accepted. Its files are in the store.

    Attributes:
        owner: id of the key that submitted it.
        settings: as `Settings.as_dict` gives them.
        names: what the client called its images, by field.
        predicted_s: seconds that the job will probably take.
        idempotency: the client's key and the fingerprint of the request; None without a key.
        webhook: URL that is told of the end; None is none.
    """

    owner: str
    network: str
    settings: dict[str, Any]
    content_file: str | None
    style_file: str | None
    style_id: str | None
    start_file: str | None
    start_job: str | None
    supersedes: str | None
    names: dict[str, str]
    tag: str | None
    priority: int
    deadline_s: float | None
    bytes: int
    pixels: int
    predicted_s: float
    idempotency: tuple[str, str] | None = None
    webhook: str | None = None
    id: str = field(default_factory=lambda: new_id("r"))

    def row(self) -> dict[str, Any]:
        """Return the columns of the new row."""
        now = time.time()
        plain = {
            name: getattr(self, name)
            for name in (
                "id", "owner", "network", "content_file", "style_file", "style_id", "start_file", "start_job",
                "supersedes", "tag", "priority", "bytes", "pixels", "predicted_s",
            )
        }  # fmt: skip
        return {
            **plain,
            "state": QUEUED,
            "accepted_s": now,
            "queued_s": now,
            "deadline_s": None if self.deadline_s is None else now + self.deadline_s,
            "settings": json.dumps(self.settings),
            "names": json.dumps(self.names),
        }


@dataclass(frozen=True)
class Ending:
    """The end of an attempt at a job.

    Attributes:
        state: one of `ENDED`.
        outcome: why the run ended; a name that programs can compare.
        message: the same as a sentence.
        files: names of the files of the result, by column.
        files_bytes: bytes of those files.
        summary: losses, counts and times, as `Result.summary` gives them.
        record: settings and provenance, as files have them inside.
    """

    state: str
    outcome: str
    message: str
    files: dict[str, str] = field(default_factory=dict)
    files_bytes: int = 0
    summary: dict[str, Any] | None = None
    record: dict[str, Any] | None = None


RESULT_FILES = ("result_file", "alpha_file", "png_file", "state_file", "preview_file")
INPUT_FILES = ("content_file", "style_file", "start_file")


def new_id(prefix: str) -> str:
    """Return an id that nobody can guess."""
    return f"{prefix}_{secrets.token_urlsafe(16)}"


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a row."""
    columns, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(row.values()))
