"""What the server and a worker say to each other, and the two things that carry it: a channel and a home.

A worker never sees the journal. The supervisor *takes* a job from the journal and sends `RUN`; the worker sends
`EVENT` for its progress and `CHECKPOINT` for each saved state, and *finishes* with `FINISHED` or `INTERRUPTED`. Every
message of an attempt has the attempt's fencing token. Files are named in messages and lie in the worker's folder. A
home that does not share a file system with the server copies the files that a message names, in both directions
(`impasto.server.work.baggage`).

To a worker:

- SETUP: networks by name with their hashes, arguments of the engine, the folder for files, how often states are saved.
  It is the first message.
- RUN: job, token, network, settings, paths (`content`, `style`, `start`, `states`), priority, deadline_s, stop.
- STOP, PRIORITY: job, token (and priority).
- STYLE: style, owner, network, settings, the path of the image and of the matrices.
- INFER: id, model, parameters; the arrays are blobs.
- DRAIN: save the state of all jobs and give them back.

From a worker:

- READY: slots, provider.
- EVENT: job, token, event, data, files (the preview).
- CHECKPOINT: job, token, evaluations, files (the state). The supervisor finds states in the folder.
- BEAT: evaluations since the start, seconds since the last one, jobs under way.
- FINISHED: job, token, state, outcome, message, files by column, summary, record.
- INTERRUPTED: job, token, files (the state).
- STYLED: style, owner, path or error.
- REPLY: id, values or error; the arrays are blobs.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

SETUP, RUN, STOP, PRIORITY, STYLE, INFER, DRAIN = "setup", "run", "stop", "priority", "style", "infer", "drain"
READY, EVENT, CHECKPOINT, BEAT, FINISHED, INTERRUPTED, STYLED, REPLY = (
    "ready",
    "event",
    "checkpoint",
    "beat",
    "finished",
    "interrupted",
    "styled",
    "reply",
)

_LENGTHS = struct.Struct("<II")
_LONGEST_HEAD, _LONGEST_BLOB, _MOST_BLOBS = 16 << 20, 1 << 30, 16


@dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
        kind: one of the words above.
        body: plain values.
        blobs: bytes that belong to it.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Death:
    """Why a worker has ended.

    Attributes:
        reason: in a few words.
        blames_jobs: whether one of its jobs may have ended it. A machine that was lost is not the doing of a job.
    """

    reason: str
    blames_jobs: bool = True


class Home(Protocol):
    """Where a worker lives: a process of this machine, or an actor of a cluster.

    Attributes:
        name: of this life of the worker; a restarted worker has another one.
        is_alive: whether messages can reach it.
    """

    name: str

    @property
    def is_alive(self) -> bool:
        """Whether the worker runs."""

    def start(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        """Start the worker.

        Args:
            receive: called with each message of the worker, one at a time and in order.
            lost: called once, after the last message, when the worker has ended.
        """

    def send(self, message: Message) -> None:
        """Send a message; it is lost if the worker has ended."""

    def kill(self) -> None:
        """End the worker at once."""


def write_message(stream: BinaryIO, message: Message) -> None:
    """Write a message; the caller holds a lock."""
    head = json.dumps([message.kind, dict(message.body), [len(blob) for blob in message.blobs]]).encode()
    stream.write(_LENGTHS.pack(len(head), len(message.blobs)))
    stream.write(head)
    for blob in message.blobs:
        stream.write(blob)
    stream.flush()


def read_message(stream: BinaryIO) -> Message:
    """Read a message.

    Raises:
        EOFError: the other side has ended.
        ValueError: what arrives is no message. It is data of JSON, which runs nothing, because a worker decodes images
            of strangers.
    """
    length, count = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if length > _LONGEST_HEAD or count > _MOST_BLOBS:
        raise ValueError("no message")
    found = json.loads(_exactly(stream, length))
    if not (isinstance(found, list) and len(found) == 3 and isinstance(found[0], str) and isinstance(found[1], dict)):
        raise ValueError("no message")
    kind, body, lengths = found
    if not all(type(size) is int and 0 <= size <= _LONGEST_BLOB for size in lengths) or len(lengths) != count:
        raise ValueError("no message")
    return Message(kind, body, tuple(_exactly(stream, size) for size in lengths))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
