"""Under what conditions a figure was measured: machine, versions, load."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from impasto.engine.examination import examine

RIVALS = ("torch", "scipy")


def conditions(threads: int) -> dict[str, Any]:
    """Return what a reader needs to judge a figure; the load is that of the last minute, before the measurement."""
    report = examine()
    versions = dict(report["Versions"])
    for name in RIVALS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": report["Machine"]["processor"],
        "processor_flags": _flags(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_1_min": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def _flags() -> list[str]:
    """Return which of the instruction sets that matter to convolutions the processor has."""
    try:
        line = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("flags"))
    except (OSError, StopIteration):
        return []
    return [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in line.split()]
