"""The client: it submits jobs, follows them over interruptions, and fetches their pictures."""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import httpx

from impasto.client.connection import PATIENCE_S, PAUSE_S, Connection
from impasto.client.events import RemoteEvent
from impasto.client.job import Job, events_of, part, path_of
from impasto.models.errors import ImpastoError, reason

if TYPE_CHECKING:
    from impasto.engine.settings import Settings

Source = str | os.PathLike[str] | bytes
"""An image: a path, or the bytes of a file."""


class Client:
    """A connection to a server.

    It sends a request again while the server is full, stopping or away, for some minutes. A submission has an
    idempotency key, so a repeated one is still one job.

    Args:
        url: of the server.
        key: API key; None is none.
        patience_s: seconds for which a request is repeated.
        transport: of httpx, for tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, key, patience_s, transport)

    def submit(
        self,
        content: Source | None,
        style: Source | None = None,
        settings: "Mapping[str, Any] | Settings | None" = None,
        *,
        start: Source | None = None,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> "Job":
        """Submit a job, and return when the server has it on its disk.

        Args:
            content: the content image; or give ``images_of``, a job whose images this one takes too.
            style: the style image; or give ``style_id``, or ``images_of``.
            settings: as for `impasto.engine.Settings`; `init` is content, noise or style.
            start: the image to begin with.
            idempotency_key: of the request; None is a new one.
            fields: network, style_id, images_of, start_job, supersedes, priority, deadline_s, tag, webhook.

        Raises:
            ImpastoError: an image cannot be read, or the server does not answer.
            RefusedError: the server refused the job.
        """
        values = settings if isinstance(settings, Mapping) or settings is None else settings.as_dict()
        data = {name: str(value) for name, value in fields.items() if value is not None}
        data["settings"] = json.dumps(dict(values or {}))
        sources = {"content": content, "style": style, "start": start}
        files: dict[str, Any] = {name: _file(name, source) for name, source in sources.items() if source is not None}
        files |= {name: (None, value) for name, value in data.items()}  # httpx sends a form without files otherwise
        headers = {"idempotency-key": idempotency_key or secrets.token_urlsafe(24)}
        answer = self._connection.request("POST", "/v1/renders", files=files, headers=headers)
        return Job(self._connection, answer.json())

    def job(self, job: str) -> "Job":
        """Return a job by its id."""
        return Job(self._connection, self._connection.request("GET", path_of(job)).json())

    def jobs(self, **filters: Any) -> "Iterator[Job]":
        """Yield jobs, the latest first; `state` and `tag` are filters."""
        cursor = None
        while True:
            parameters = {name: value for name, value in {**filters, "cursor": cursor}.items() if value is not None}
            page = self._connection.request("GET", "/v1/renders", params=parameters).json()
            yield from (Job(self._connection, values) for values in page["renders"])
            cursor = page["next"]
            if cursor is None:
                return

    def keep_style(
        self, style: Source, settings: "Mapping[str, Any] | None" = None, *, network: str | None = None
    ) -> dict[str, Any]:
        """Keep a style, and return it when its matrices are there.

        Raises:
            ImpastoError: they could not be made.
        """
        data = {"settings": json.dumps(dict(settings or {}))} | ({} if network is None else {"network": network})
        files = {"style": _file("style", style)}
        found: dict[str, Any] = self._connection.request("POST", "/v1/styles", data=data, files=files).json()
        while found["state"] == "pending":
            time.sleep(PAUSE_S)
            found = self._connection.request("GET", found["links"]["self"]).json()
        if found["state"] == "failed":
            raise ImpastoError(f"the server made no matrices of the style: {found['error']}")
        return found

    def styles(self) -> list[dict[str, Any]]:
        """Return the kept styles."""
        found: list[dict[str, Any]] = self._connection.request("GET", "/v1/styles").json()["styles"]
        return found

    def erase_style(self, style: str) -> None:
        """Erase a kept style."""
        self._connection.request("DELETE", f"/v1/styles/{part(style)}")

    def networks(self) -> list[dict[str, Any]]:
        """Return the networks that jobs may name."""
        found: list[dict[str, Any]] = self._connection.request("GET", "/v1/networks").json()["networks"]
        return found

    def events(self, job: str, after: int = 0) -> Iterator[RemoteEvent]:
        """Yield the events of a job until it has ended, also over interruptions of the connection or the server."""
        return events_of(self._connection, job, after)

    def all_events(self, after: int | None = None) -> Iterator[RemoteEvent]:
        """Yield the events of all jobs without end; their data has the job's id as `render`.

        Args:
            after: the number after which they begin; None is those that come from now on.
        """
        return self._connection.events("/v1/events", after, lambda: False)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _file(name: str, source: Source) -> tuple[str, "bytes | BinaryIO"]:
    """Return the name and the bytes of an image; bytes, because a request may be sent twice."""
    if isinstance(source, bytes):
        return name, source
    path = Path(source)
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise ImpastoError(f"cannot read {path}: {reason(error)}; give another image") from error
