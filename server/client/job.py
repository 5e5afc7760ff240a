"""A job on a server."""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from impasto.client.connection import Connection
from impasto.client.events import RemoteEvent
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDED = ("done", "cancelled", "failed", "quarantined")
IMAGE = "image/png"


class Job:
    """A job on a server.

    Attributes:
        values: the job as the server showed it latest.
    """

    def __init__(self, connection: Connection, values: Mapping[str, Any]) -> None:
        self._connection, self.values = connection, dict(values)

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.values["id"])

    @property
    def state(self) -> str:
        """The job's state when the server showed it latest."""
        return str(self.values["state"])

    def refresh(self) -> "Job":
        """Ask the server again."""
        return self._update("GET", "")

    def events(self) -> Iterator[RemoteEvent]:
        """Yield the job's events until it has ended, also over interruptions of the connection or the server."""
        return events_of(self._connection, self.id, 0)

    def wait(self, on_event: Callable[[RemoteEvent], None] = lambda event: None) -> "Job":
        """Wait until the job has ended.

        Args:
            on_event: called with each event.

        Raises:
            ImpastoError: the job failed.
        """
        for event in self.events():
            on_event(event)
        self.refresh()
        if self.state in ("failed", "quarantined"):
            raise ImpastoError(f"the job {self.state}: {self.values['message']}")
        return self

    def data(self, media_type: str = IMAGE) -> bytes:
        """Return the picture as a file: image/png, image/webp, image/jpeg, image/tiff or application/x-npy."""
        return self._get("result", headers={"accept": media_type})

    def file(self, name: str) -> bytes:
        """Return the picture as a file of a format: png, webp, jpeg, tiff, npy, png16 or tiff16."""
        return self._get("result", params={"format": name})

    def picture(self) -> "Image":
        """Return the picture as a PIL image."""
        from PIL import Image

        return Image.open(io.BytesIO(self.data()))

    def preview(self) -> bytes:
        """Return the picture so far, as a small JPEG file."""
        return self._get("preview")

    def cancel(self) -> "Job":
        """Stop the job; it keeps the picture so far."""
        return self._update("POST", "/cancel")

    def resume(self, **limits: Any) -> "Job":
        """Continue the job after its end, with other limits: iterations, evaluations, timeout_s."""
        return self._update("POST", "/resume", json=limits)

    def set_priority(self, priority: int) -> "Job":
        """Change the job's priority."""
        return self._update("PUT", "/priority", json={"priority": priority})

    def erase(self) -> None:
        """Erase the job with its images."""
        self._connection.request("DELETE", self._path)

    @property
    def _path(self) -> str:
        return path_of(self.id)

    def _update(self, method: str, path: str, **more: Any) -> "Job":
        self.values = self._connection.request(method, f"{self._path}{path}", **more).json()
        return self

    def _get(self, part: str, **more: Any) -> bytes:
        return self._connection.request("GET", f"{self._path}/{part}", **more).content


def path_of(job: str) -> str:
    """Return the path of a job."""
    return f"/v1/renders/{part(job)}"


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")


def events_of(connection: Connection, job: str, after: int) -> Iterator[RemoteEvent]:
    """Yield the events of a job after a number, until it has ended."""
    path = path_of(job)

    def has_ended() -> bool:
        return connection.request("GET", path).json()["state"] in ENDED

    return connection.events(f"{path}/events", after, has_ended)
