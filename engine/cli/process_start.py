"""Seconds since the start of this process, for times that include the start of the interpreter."""

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()


def seconds_since_process_start() -> float:
    """Return seconds since the kernel started the process; elsewhere than on Linux, since this module's import."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime, field 22 of proc(5)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, ValueError):
        return time.perf_counter() - _IMPORTED
