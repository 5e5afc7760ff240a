"""Server-sent events, read from a stream of lines."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RemoteEvent:
    """An event of a job on a server.

    Attributes:
        number: grows with every event of the server; `Client.events` continues after it.
        kind: accepted, started, running, iteration, preview, precision, interrupted, resumed, priority, stopping or
            ended.
        data: plain values, such as the iteration, the loss and the terms of an iteration.
    """

    number: int
    kind: str
    data: dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[RemoteEvent]:
    """Yield the events of a stream, as the HTML standard describes it."""
    number, kind, data = 0, "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id" and value.isdecimal():
            number = int(value)
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif not line:
            if data:
                yield RemoteEvent(number, kind, json.loads("\n".join(data)))
            kind, data = "message", []
