"""Whether a case passes: its outcome, its time, its memory, and what libraries wrote to stderr meanwhile."""

import os
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from impasto.models.errors import ImpastoError

LONGEST_S, LONGEST_WAIT_S = 5.0, 60.0
"""Of the processor, and on the clock: a machine that does other work as well fails no case."""

LARGEST_BYTES = 1 << 30


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        refused: the line with which the program refused the file; "" if it read it.
        problem: why the case fails; "" if it passes.
        seconds: of the processor.
        peak_bytes: largest resident memory above what the process had before.
    """

    refused: str
    problem: str
    seconds: float
    peak_bytes: int


def judge(action: Callable[[], object]) -> Verdict:
    """Run an action and judge it."""
    refused, problems = "", list[str]()
    before = _resident(reset=True)
    start_s, started_s = time.process_time(), time.perf_counter()
    with _stray_words() as stray, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            action()
        except ImpastoError as error:
            refused = str(error)
        except MemoryError as error:
            problems.append(f"MemoryError {error}")
        except Exception:
            problems.append(traceback.format_exc())
    seconds, waited_s, peak = time.process_time() - start_s, time.perf_counter() - started_s, _peak() - before
    if "\n" in refused:
        problems.append(f"more than one line: {refused!r}")
    if stray:
        problems.append(f"on stderr: {stray[0]!r}")
    problems.extend(f"warning: {item.message}" for item in warned[:1])
    if seconds > LONGEST_S:
        problems.append(f"{seconds:.1f} s of the processor, more than {LONGEST_S} s")
    if waited_s > LONGEST_WAIT_S:
        problems.append(f"{waited_s:.1f} s, longer than {LONGEST_WAIT_S} s")
    if peak > LARGEST_BYTES:
        problems.append(f"{peak / 1e6:.0f} MB, more than {LARGEST_BYTES / 1e6:.0f} MB")
    return Verdict(refused, "; ".join(problems), seconds, peak)


@contextmanager
def _stray_words() -> Iterator[list[bytes]]:
    """Catch what is written to the file descriptor of stderr, by libraries in C as well."""
    found: list[bytes] = []
    with tempfile.TemporaryFile() as file, _redirected(2, file):
        yield found
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        text = file.read()
        if text:
            found.append(text)


@contextmanager
def _redirected(descriptor: int, file: BinaryIO) -> Iterator[None]:
    kept = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _resident(*, reset: bool) -> int:
    """Return the resident memory, bytes; with `reset`, the kernel counts its largest value from now on."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
