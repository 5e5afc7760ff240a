"""The process of a command: its streams, its signals and its exit status.

Importing this module imports nothing large, so that a signal during the other imports ends in one line.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from impasto.engine.cli.streams import fill_descriptors, guard
from impasto.engine.cli.terminal import FAILED, STOPPING, USAGE_ERROR, signals_taken, status_of
from impasto.models.errors import OF_PATHS, ImpastoError, one_line, printable, reason

CLOSED_PIPE = 128 + 13
"""Exit status where the reader of stdout has gone: that of a process which SIGPIPE ended."""


class Stopped(BaseException):
    """A signal ends the command. Nothing on the way to `main` may take it for an error.

    Attributes:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(STOPPING[signum])
        self.signum = signum


def main() -> None:
    """Run the command line and exit.

    The status is 0 after success, 1 after a failure, 2 after a user's mistake, 130 after Ctrl-C, 143 after SIGTERM and
    129 after SIGHUP. It is 141 where the command succeeded but the reader of its stdout had gone.
    """
    fill_descriptors()
    stdout = guard()
    status = _status()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if stdout is not None and stdout.failure is not None and status == 0:
        status = _lost_lines(stdout.failure)
    sys.exit(status)


def _status() -> int:
    """Run the command line; return the exit status, after one line for whatever ended it."""
    received: list[int] = []
    try:
        with _raised_signals(received):
            _check_folder()
            from impasto.engine.cli.app import run

            return run()
    except Stopped as stopped:
        return _stop(stopped.signum)
    except ImpastoError as error:
        return _fail(str(error), USAGE_ERROR)
    except Exception as error:
        if received:  # an import or a library turned the signal into an error of its own
            return _stop(received[0])
        if isinstance(error, MemoryError):
            return _fail("there is not enough memory; use a smaller --size, or smaller images", USAGE_ERROR)
        if isinstance(error, OSError) and error.filename is not None and error.errno in OF_PATHS:
            return _fail(f"cannot use {os.fsdecode(error.filename)}: {reason(error)}; give another path", USAGE_ERROR)
        return _unexpected(error)


def _check_folder() -> None:
    """Refuse to start in a folder that was deleted: no relative path means anything there."""
    try:
        os.getcwd()  # noqa: PTH109 - the same, and nothing more to import
    except OSError as error:
        raise ImpastoError("the current folder does not exist any more; change to another one") from error


@contextmanager
def _raised_signals(received: list[int]) -> Iterator[None]:
    """Raise `Stopped` at `STOPPING` signals inside the block, and ignore them after it, while the process ends.

    Args:
        received: takes the numbers of the signals.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    for number in signals_taken():
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


def _stop(signum: int) -> int:
    print(f"stopped by {STOPPING[signum]}", file=sys.stderr)
    return status_of([signum])


def _fail(message: str, status: int) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return status


def _unexpected(error: Exception) -> int:
    """Write the traceback to a file, and ask for a report in one line."""
    import tempfile
    import traceback

    from impasto.models.version import VERSION

    said = one_line(error) or "no message"
    what = f"unexpected {type(error).__name__}: {said}; this is a bug in impasto {VERSION}"
    try:
        handle, path = tempfile.mkstemp(prefix="impasto-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            print(f"impasto {VERSION}, Python {sys.version}\n{sys.argv}", file=file)
            traceback.print_exception(error, file=file)
    except OSError:
        return _fail(f"{what}: please report it", FAILED)
    return _fail(f"{what}: please report it with the traceback, which is in {path}", FAILED)


def _lost_lines(failure: OSError) -> int:
    """Return the status of a command that did everything but print it, after a line unless the reader has gone."""
    if failure.errno == errno.EPIPE:
        return CLOSED_PIPE
    return _fail(f"cannot write to stdout: {reason(failure)}; everything else is done", FAILED)
