"""The program of a worker process: `python -m impasto.server.work.child`, with messages on stdin and stdout."""

import contextlib
import logging
import os
import sys
import threading
from typing import BinaryIO

from impasto.server.work.protocol import SETUP, Message, read_message, write_message

_NICE = 5
"""The server, which answers in milliseconds, comes before the worker, which computes for minutes."""


class Pipe:
    """The worker's end of the channel."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message to the server; without a server, this process ends."""
        try:
            with self._lock:
                write_message(self._outgoing, message)
        except OSError:
            os._exit(0)

    def receive(self) -> Message:
        """Wait for a message of the server; without a server, this process ends at once, whatever it computes."""
        try:
            return read_message(self._incoming)
        except (EOFError, OSError):
            os._exit(0)


def main() -> None:
    """Serve until the server closes the pipe."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints belongs to the log
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICE)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s worker: %(message)s")
    pipe = Pipe(sys.stdin.buffer, outgoing)
    setup = pipe.receive()
    if setup.kind != SETUP:
        raise SystemExit("the first message of the server is no setup")

    from impasto.server.work.worker import Worker

    Worker(pipe, setup.body).serve()


if __name__ == "__main__":
    main()
