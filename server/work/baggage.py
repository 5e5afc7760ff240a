"""The files that messages name, as bytes: for a home that does not share a file system with the server."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.server.work.protocol import CHECKPOINT, EVENT, FINISHED, INTERRUPTED, RUN, STYLE, STYLED, Message
from impasto.server.work.result_files import replace

Baggage = Mapping[str, bytes]
"""Files by their names, without folders."""

_READ = {
    RUN: ("content", "style", "start", "states"),
    STYLE: ("image",),
    EVENT: ("files",),
    CHECKPOINT: ("files",),
    FINISHED: ("files",),
    INTERRUPTED: ("files",),
    STYLED: ("path",),
}
"""By message: the fields that name files for the receiver to read: a path, a list of them, or a mapping to them."""

_WRITTEN = {STYLE: ("path",)}
"""By message: the fields that name files for the receiver to write."""


def pack(message: Message) -> tuple[Message, dict[str, bytes]]:
    """Return a message whose paths are names, and the files.

    Raises:
        OSError: a file cannot be read.
    """
    files: dict[str, bytes] = {}

    def take(path: str) -> str:
        name = Path(path).name
        files[name] = Path(path).read_bytes()
        return name

    body = {
        **message.body,
        **{field: _each(message.body[field], take) for field in _READ.get(message.kind, ())},
        **{field: Path(message.body[field]).name for field in _WRITTEN.get(message.kind, ())},
    }
    return Message(message.kind, body, message.blobs), files


def unpack(message: Message, files: Baggage, folder: Path, *, written: Path | None = None) -> Message:
    """Write the files of a message into a folder, and return the message with their paths there.

    Args:
        message: of `pack`.
        files: of `pack`.
        folder: of the files; the other side cannot choose another one.
        written: folder of the files that the receiver will write; None is the same.

    Raises:
        OSError: a file cannot be written.
        KeyError: the message names a file that did not come with it.
    """

    def give(name: str) -> str:
        path = folder / Path(name).name
        replace(path, files[name])
        return str(path)

    body = {
        **message.body,
        **{field: _each(message.body[field], give) for field in _READ.get(message.kind, ())},
        **{
            field: str((written or folder) / Path(message.body[field]).name) for field in _WRITTEN.get(message.kind, ())
        },
    }
    return Message(message.kind, body, message.blobs)


def _each(named: Any, change: Callable[[str], str]) -> Any:
    """Return a field with its paths changed."""
    if named is None:
        return None
    if isinstance(named, Mapping):
        return {name: change(path) for name, path in named.items()}
    if isinstance(named, list):
        return [change(path) for path in named]
    return change(named)
