"""Functions for the terminal that commands share: lines on stderr, JSON on stdout, and signals."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from impasto.models.errors import printable

FAILED, USAGE_ERROR = 1, 2
"""Exit statuses after a failure, and after a mistake in the arguments or the input."""

STOPPING: Mapping[int, str] = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    **({signal.SIGHUP: "SIGHUP"} if sys.platform != "win32" else {}),
}
"""The signals that save the current image and end a command, and what a message calls them."""


def say(line: str) -> None:
    """Print a line on stderr, unless it is empty; what does not print is escaped."""
    if line:
        print(printable(line), file=sys.stderr)


def print_lines(*lines: str) -> None:
    """Print lines on stdout; what does not print is escaped, as names of files and of networks may hold anything."""
    for line in lines:
        print(printable(line))


def print_group(title: str, values: Mapping[str, Any]) -> None:
    """Print a heading and a line for every value; what does not print is escaped."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(printable(title), style="bold", markup=False)
    for name, value in values.items():
        console.print(printable(f"  {name:<16} {value}"), markup=False)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON line on stdout, at once."""
    print(json.dumps(values), flush=True)


def signals_taken() -> list[int]:
    """Return the signals that stop a command: all of `STOPPING`, but not SIGHUP under nohup, which ignores it.

    A shell script that starts a command with & ignores Ctrl-C, which says nothing about the command: it is taken.
    """
    return [
        number
        for number, name in STOPPING.items()
        if name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    ]


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Turn the first signal that stops a command into a flag: its number in the list. A second one ends the process."""
    flag: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        flag.append(signum)
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    previous = {number: signal.signal(number, stop) for number in signals_taken()}
    try:
        yield flag
    finally:
        restore()


def status_of(interrupted: Sequence[int]) -> int:
    """Return the exit status after a signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + interrupted[0]
