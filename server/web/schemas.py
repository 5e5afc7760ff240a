"""What the API's answers look like, for its description, and how rows of the journal become them."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from impasto.server.store.records import ENDED, QUEUED, RUNNING


class Closed(BaseModel):
    """A JSON object with these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class ProblemDetails(BaseModel):
    """A refusal, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    allowed: Any = None


class Progress(Closed):
    """How far a job is."""

    iteration: int
    iterations: int
    evaluations: int
    loss: float | None
    fraction: float
    seconds_left: float | None


class Links(Closed):
    """Where the parts of a job are."""

    self: str
    result: str | None
    preview: str | None
    content: str | None
    style: str | None
    events: str
    cancel: str
    resume: str
    priority: str


class Render(Closed):
    """A job."""

    id: str
    state: Literal["queued", "running", "done", "cancelled", "failed", "quarantined"]
    position: int | None
    priority: int
    network: str
    tag: str | None
    names: dict[str, str]
    style_id: str | None
    start_job: str | None
    settings: dict[str, Any]
    accepted_at: str
    started_at: str | None
    ended_at: str | None
    deadline_at: str | None
    attempts: int
    stopping: str | None
    progress: Progress
    outcome: str | None
    message: str | None
    summary: dict[str, Any] | None
    resumable: bool
    links: Links


class RenderPage(Closed):
    """Some jobs, the latest first."""

    renders: list[Render]
    next: str | None


class Style(Closed):
    """A style whose matrices are kept."""

    id: str
    name: str
    state: Literal["pending", "ready", "failed"]
    network: str
    settings: dict[str, Any]
    made_at: str
    error: str | None
    links: dict[str, str]


class StylePage(Closed):
    """All styles, the latest first."""

    styles: list[Style]


class NetworkFacts(Closed):
    """A network that jobs may name."""

    name: str
    sha256: str
    default: bool
    seconds_per_megapixel: float


class NetworkPage(Closed):
    """The networks."""

    networks: list[NetworkFacts]
    provider: str


class Priority(Closed):
    """A new priority."""

    priority: int


class MoreIterations(Closed):
    """New limits of a job that is resumed; they count from its start."""

    iterations: int | None = None
    evaluations: int | None = None
    timeout_s: float | None = None


class Health(Closed):
    """Whether the server works."""

    status: str


def render_of(row: sqlite3.Row, positions: Mapping[str, int]) -> dict[str, Any]:
    """Return a row of the journal as the API shows it."""
    settings, state, link = json.loads(row["settings"]), row["state"], f"/v1/renders/{row['id']}"
    has_picture = row["result_file"] is not None
    names = ("result", "preview", "events", "cancel", "resume", "priority")
    links: dict[str, str | None] = {"self": link, **{name: f"{link}/{name}" for name in names}}
    for name in ("content", "style"):
        is_there = row[f"{name}_file"] is not None or (name == "style" and row["style_id"] is not None)
        links[name] = f"{link}/images/{name}" if is_there else None
    links["result"] = links["result"] if has_picture else None
    links["preview"] = links["preview"] if has_picture or state in (QUEUED, RUNNING) else None
    return {
        "id": row["id"],
        "state": state,
        "position": positions.get(row["id"]),
        "priority": row["priority"],
        "network": row["network"],
        "tag": row["tag"],
        "names": json.loads(row["names"]),
        "style_id": row["style_id"],
        "start_job": row["start_job"],
        "settings": settings,
        "accepted_at": _time(row["accepted_s"]),
        "started_at": _time(row["started_s"]),
        "ended_at": _time(row["ended_s"]),
        "deadline_at": _time(row["deadline_s"]),
        "attempts": row["token"],
        "stopping": row["stop"],
        "progress": _progress(row, settings),
        "outcome": row["outcome"],
        "message": row["message"],
        "summary": None if row["summary"] is None else json.loads(row["summary"]),
        "resumable": state in ENDED and row["state_file"] is not None,
        "links": links,
    }


def style_of(row: sqlite3.Row) -> dict[str, Any]:
    """Return a style as the API shows it."""
    link = f"/v1/styles/{row['id']}"
    plain = {name: row[name] for name in ("id", "name", "state", "network", "error")}
    links = {"self": link, "image": f"{link}/image"}
    return {**plain, "settings": json.loads(row["settings"]), "made_at": _time(row["made_s"]), "links": links}


def _progress(row: sqlite3.Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    iterations = settings["iterations"]
    fraction = min(row["iteration"] / max(iterations, 1), 1.0)
    if settings.get("evaluations"):
        fraction = max(fraction, min(row["evaluations"] / settings["evaluations"], 1.0))
    left_s = row["predicted_s"] * (1 - fraction) if row["state"] in (QUEUED, RUNNING) else None
    return {
        "iteration": row["iteration"],
        "iterations": iterations,
        "evaluations": row["evaluations"],
        "loss": row["loss"],
        "fraction": 1.0 if row["state"] == "done" else fraction,
        "seconds_left": left_s,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


_REFUSALS = {
    400: "The request cannot be read",
    401: "An API key is needed",
    403: "The key, or the page, may not do this",
    404: "There is no such thing, or it belongs to another key",
    405: "The method is not allowed here",
    406: "No such format",
    408: "The body arrived too slowly",
    409: "The state of the job does not allow this",
    413: "Too many bytes, pixels or iterations",
    415: "The body is of another type",
    416: "The range is outside the file",
    421: "The Host is not this server's",
    422: "A value is not allowed",
    429: "There is no room now, or too many requests; see Retry-After",
    503: "No worker is ready",
    507: "The disk is full",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the refusals of an operation; every operation has 400, 401, 403, 405 and 421."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    chosen = sorted({400, 401, 403, 405, 421, 422, *statuses})
    return {status: {"description": _REFUSALS[status], "content": content} for status in chosen}
