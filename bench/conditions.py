"""Under what conditions a figure was measured: machine, versions, load."""

import contextlib
import datetime
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.machine import machine, versions

RIVALS = ("torch", "scipy")
FLAGS = (  # that matter to convolutions and matrix products
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_NVIDIA_FIELDS = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "persistence_mode")
_NVIDIA_TIMEOUT_S = 30.0


def conditions(threads: int) -> dict[str, Any]:
    """Return what a reader needs to judge a figure; the load is that of the last minute, before the measurement.

    The threads are those that the run was told to use; 0 is one per core.
    """
    here, governor = machine(), "unknown"
    with contextlib.suppress(OSError):  # only Linux tells
        governor = _GOVERNOR.read_text().strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": here["processor"],
        "processor_flags": [flag for flag in FLAGS if flag in cpu_info.flags()],
        "governor": governor,
        "cores": os.cpu_count(),
        "threads": threads,
        "thread_settings": thread_settings(),
        "memory": here["memory"],
        "gpus": nvidia_smi(),
        "load_1_min": load(),
        "versions": versions(*RIVALS),
    }


def thread_settings() -> dict[str, Any]:
    """Return what the process is told about threads from outside: cores it may use, and variables that libraries read.

    A variable that is not set is None. How many cores it may use is None if the system does not tell.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"allowed_cores": allowed, **{name: os.environ.get(name) for name in THREAD_VARIABLES}}


def load() -> float | None:
    """Return how many processes wanted a core in the last minute; None if the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def nvidia_smi() -> list[dict[str, str]]:
    """Return what NVIDIA's tool says of each GPU, driver and clocks included; none if there is no such tool."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, f"--query-gpu={','.join(_NVIDIA_FIELDS)}", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=_NVIDIA_TIMEOUT_S)  # noqa: S603
        rows = [line.split(", ") for line in said.stdout.splitlines() if line.strip()]
        return [dict(zip(_NVIDIA_FIELDS, row, strict=True)) for row in rows]
    return []
