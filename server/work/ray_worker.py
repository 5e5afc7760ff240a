"""A worker as a Ray actor: the messages of the protocol, in the actor's mailboxes."""

import contextlib
import logging
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION
from impasto.server.work.baggage import Baggage, pack, unpack
from impasto.server.work.protocol import CHECKPOINT, EVENT, FINISHED, INTERRUPTED, RUN, Message
from impasto.server.work.worker import Worker

log = logging.getLogger("impasto.server")

_FOLDER = "impasto-worker-"
_WAIT_S = 0.5
_MOST_TOGETHER = 64

Parcel = tuple[str, dict[str, Any], tuple[bytes, ...], dict[str, bytes]]
"""A message and its files, as plain values: kind, body, blobs, files."""


class RayWorker:
    """The class of the actor. It has a `Worker`, which sees it as its channel.

    The server calls `hear` and `say`, each from one thread of the actor.

    Args:
        setup: the body of the message `SETUP`; the folder is replaced by one of this machine.
        version: of impasto on the server.

    Raises:
        ImpastoError: this machine has another version, or as `Worker`.
    """

    def __init__(self, setup: Mapping[str, Any], version: str) -> None:
        if version != VERSION:
            raise ImpastoError(f"this machine has impasto {VERSION}, the server {version}; install the same version")
        self._folder = _own_folder()
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._saved: set[str] = set()
        self._lock = threading.Lock()
        try:
            worker = Worker(self, {**setup, "folder": str(self._folder)})
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        threading.Thread(target=self._serve, args=(worker,), daemon=True).start()

    def hear(self, kind: str, body: dict[str, Any], blobs: tuple[bytes, ...], files: Baggage) -> None:
        """Take a message of the server."""
        folder = self._folder
        if kind == RUN:
            folder = self._inputs(body)
        try:
            folder.mkdir(exist_ok=True)
            self._heard.put(unpack(Message(kind, body, blobs), files, folder, written=self._folder))
        except OSError:
            log.exception("the files of a message could not be written; the worker ends")
            os._exit(1)

    def say(self) -> list[Parcel]:
        """Return what the worker says to the server; wait for it for a moment."""
        messages = list[Message]()
        with contextlib.suppress(queue.Empty):
            messages.append(self._said.get(timeout=_WAIT_S))
            while len(messages) < _MOST_TOGETHER:
                messages.append(self._said.get_nowait())
        return [self._parcel(message) for message in messages]

    def send(self, message: Message) -> None:
        """Put a message of the worker into the box. Of a job's saved states, one waits: it is read when it goes."""
        if message.kind == CHECKPOINT:
            with self._lock:
                if message.body["job"] in self._saved:
                    return
                self._saved.add(message.body["job"])
        self._said.put(message)

    def receive(self) -> Message:
        """Wait for a message of the server."""
        return self._heard.get()

    def _parcel(self, message: Message) -> Parcel:
        if message.kind == CHECKPOINT:
            with self._lock:
                self._saved.discard(message.body["job"])
        try:
            packed, files = pack(message)
        except FileNotFoundError:
            if message.kind not in (EVENT, CHECKPOINT):  # a result without its files is none: the job is run again
                raise
            # a preview or a state of a job that has ended meanwhile
            packed, files = Message(message.kind, {**message.body, "files": {}}), {}
        if message.kind in (FINISHED, INTERRUPTED):
            shutil.rmtree(self._inputs(message.body), ignore_errors=True)
            for path in self._folder.glob(f"{message.body['job']}.*"):
                path.unlink(missing_ok=True)
        return packed.kind, dict(packed.body), packed.blobs, files

    def _inputs(self, body: Mapping[str, Any]) -> Path:
        """Return the folder of the images of an attempt."""
        return self._folder / f"inputs-{body['job']}-{body['token']}"

    def _serve(self, worker: Worker) -> None:
        try:
            worker.serve()
        finally:
            os._exit(1)  # a worker that does not serve is a dead one


def _own_folder() -> Path:
    """Return a new folder of this process, and remove those of processes that were killed."""
    place = Path(tempfile.gettempdir())
    for path in place.glob(f"{_FOLDER}*-*"):
        pid = path.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True
