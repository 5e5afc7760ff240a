"""A worker as a process of this machine. It ends with the server, also if the server is killed."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

from impasto.server.store.records import new_id
from impasto.server.work.protocol import SETUP, Death, Message, read_message, write_message


class LocalProcess:
    """A home; see `impasto.server.work.protocol.Home`.

    Args:
        setup: the body of the first message.
    """

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self.name = new_id("w")
        self._setup = setup
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        """Start the process, and a thread that reads what it says."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "impasto.server.work.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the server, which drains
        )
        self.send(Message(SETUP, self._setup))
        thread = threading.Thread(target=self._read, args=(receive, lost), name=self.name, daemon=True)
        thread.start()

    def send(self, message: Message) -> None:
        """Send a message; it is lost if the process has ended."""
        process = self._process
        if process is None:
            return
        with self._lock, contextlib.suppress(OSError, ValueError):
            write_message(cast(BinaryIO, process.stdin), message)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def _read(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - `start` has made it
        reason = ""
        try:
            while True:
                receive(read_message(cast(BinaryIO, process.stdout)))
        except EOFError:
            pass
        except ValueError:
            reason = "it sent something that is no message"
            process.kill()
        finally:
            status = process.wait()
            for stream in (process.stdin, process.stdout):
                with self._lock, contextlib.suppress(OSError, ValueError):
                    if stream is not None:
                        stream.close()
            lost(Death(reason or _said(status)))


def _said(status: int) -> str:
    """Return how a process ended."""
    if status >= 0 or os.name != "posix":
        return f"the worker ended with status {status}"
    import signal

    return f"the worker was ended by {signal.Signals(-status).name}"
