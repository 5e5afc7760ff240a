"""The machine and the versions that a run depends on, as plain values."""

import os
import platform
from importlib import metadata
from pathlib import Path

from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.providers import nvidia
from impasto.models.version import VERSION

DISTRIBUTIONS = (
    "onnxruntime-gpu",
    "onnxruntime",
    "onnxruntime-ep-openvino",
    "onnxruntime-ep-webgpu",
    "onnx",
    "onnx-ir",
    "numpy",
    "pillow",
    "torch",
)


def machine() -> dict[str, str]:
    """Return what the machine is: system, processors, threads, memory."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": cpu_info.name(),
        "bfloat16": cpu_info.bf16_flag() or "no instructions for it known",
        "threads": str(threads),
        "memory": _memory(),
        "graphics": ", ".join(gpu.name for gpu in nvidia.gpus()) or nvidia.no_gpu(),
    }


def meminfo() -> dict[str, int]:
    """Return Linux's figures on memory by name, in bytes; empty on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.split()[1:]}


def _memory() -> str:
    found = meminfo()
    if not found:
        return "unknown"
    return f"{found['MemTotal'] / 2**30:.1f} GiB, {found['MemAvailable'] / 2**30:.1f} GiB free"


def versions(*further: str) -> dict[str, str]:
    """Return the versions of this package, of Python, of what a run uses, and of further distributions."""
    found = {"impasto": VERSION, "python": platform.python_version()}
    for name in (*DISTRIBUTIONS, *further):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
