"""The refusals of the server, as RFC 9457 wants them: a type, a title, a status, and what the client can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """A request that is refused.

    Attributes:
        status: of HTTP, 400 to 599.
        kind: a word that programs can compare, such as "queue-full"; it ends the `type` of the document.
        title: the kind as words, the same for each refusal of the kind.
        detail: what is wrong with this request, and what to do next. It names no path of the machine.
        allowed: what the server would take, if that can be listed.
        retry_after_s: seconds after which the same request can succeed; None if waiting does not help.
    """

    status: int
    kind: str
    title: str
    detail: str
    allowed: Any = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def document(self) -> dict[str, Any]:
        """Return the body of the answer."""
        body = {"type": f"urn:impasto:problem:{self.kind}", "title": self.title, "status": self.status}
        body["detail"] = self.detail
        if self.allowed is not None:
            body["allowed"] = self.allowed
        return body


def invalid(detail: str, allowed: Any = None) -> Problem:
    """Return the refusal of a request whose values the client can correct."""
    return Problem(422, "invalid-request", "The request has a value that is not allowed", detail, allowed)


def too_large(detail: str, allowed: Any = None) -> Problem:
    """Return the refusal of a request with too many bytes or pixels."""
    return Problem(413, "too-large", "The request is too large", detail, allowed)


def not_found(what: str) -> Problem:
    """Return the refusal of a request for a thing that does not exist or belongs to another key."""
    return Problem(404, "not-found", "There is no such thing", f"there is no such {what}")


def conflict(detail: str) -> Problem:
    """Return the refusal of a request that does not fit the state of its job."""
    return Problem(409, "conflict", "The state of the job does not allow this", detail)


def busy(kind: str, detail: str, retry_after_s: float) -> Problem:
    """Return the refusal of a request that the server has no room for now."""
    return Problem(429, kind, "The server has no room for the request now", detail, None, retry_after_s)


def disk_full() -> Problem:
    """Return the refusal of a request that does not fit onto the disk."""
    return Problem(
        507,
        "disk-full",
        "The server's disk is full",
        "nothing of the request was kept; send it again once there is room",
        retry_after_s=30,
    )
