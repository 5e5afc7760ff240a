"""Functions for the terminal that commands share: lines on stderr, JSON on stdout, and Ctrl-C."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def say(line: str) -> None:
    """Print a line on stderr, unless it is empty."""
    if line:
        print(line, file=sys.stderr)


def print_group(title: str, values: Mapping[str, Any]) -> None:
    """Print a heading and a line for every value."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(title, style="bold", markup=False)
    for name, value in values.items():
        console.print(f"  {name:<16} {value}", markup=False)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON line on stdout, at once."""
    print(json.dumps(values), flush=True)


@contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Turn the first Ctrl-C into a flag. The second one interrupts Python as usual."""
    flag: list[bool] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        flag.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
