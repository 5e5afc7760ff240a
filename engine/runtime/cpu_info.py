"""What the processor can do."""

import functools
import os
import platform
from pathlib import Path

from impasto.models.errors import ImpastoError

THREADS_PER_CORE = 8  # the runtime starts as many as it is told, and they all wait for the few that have a core
CPUINFO = Path("/proc/cpuinfo")
BF16_TILES = "amx_bf16"
BF16_FLAGS = (BF16_TILES, "avx512_bf16")  # matrix tiles; vector dot products


@functools.cache
def flags() -> frozenset[str]:
    """Return the instruction sets by Linux's names; empty if the system does not tell."""
    return frozenset(_field("flags").split())


@functools.cache
def name() -> str:
    """Return the processor's name."""
    return _field("model name") or platform.processor() or "unknown"


def bf16_flag() -> str | None:
    """Return which instructions multiply bfloat16, the fastest first; None if there are none or none are known."""
    return next((flag for flag in BF16_FLAGS if flag in flags()), None)


def check_threads(threads: int) -> None:
    """Refuse a number of threads that the runtime could not start, or that would only stand in each other's way.

    Raises:
        ImpastoError: it is out of range.
    """
    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    if not 0 <= threads <= most:
        raise ImpastoError(f"bad threads {threads}: allowed on this machine are 0 (one per core) to {most}")


def _field(name: str) -> str:
    """Return the first processor's entry of that name, "" where there is none."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
