"""What `impasto doctor` reports, as plain values."""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from impasto.engine.cache.graphs import GRAPHS
from impasto.engine.cache.memory_needs import MEMORY_NEEDS
from impasto.engine.cache.network_facts import NETWORK_FACTS
from impasto.engine.cache.store import DISABLE_VARIABLE, enabled
from impasto.engine.cache.targets import TARGETS
from impasto.engine.runtime import cpu_info, providers
from impasto.engine.runtime.providers import nvidia
from impasto.models.store import FULL, cache_dir, list_networks, network_path
from impasto.models.version import VERSION

DISTRIBUTIONS = (
    "onnxruntime-gpu",
    "onnxruntime",
    "onnxruntime-ep-openvino",
    "onnx",
    "onnx-ir",
    "numpy",
    "pillow",
    "torch",
)
STORES = (GRAPHS, TARGETS, NETWORK_FACTS, MEMORY_NEEDS)


def examine() -> Mapping[str, Mapping[str, str]]:
    """Return sections of name and finding: providers, networks, machine, versions. Nothing is changed or fetched."""
    return {
        "Providers": _providers(),
        "Networks": _networks(),
        "Machine": machine(),
        "Versions": versions(),
    }


def _providers() -> dict[str, str]:
    found = {
        item.name: f"{'works' if item.works else 'not usable'}: {item.reason}" for item in providers.availability()
    }
    return {**found, "would be used": providers.choose().choice.removeprefix("provider ")}


def _networks() -> dict[str, str]:
    found = {
        name: f"{network_path(name).stat().st_size / 1e6:.0f} MB, {network_path(name)}" for name in list_networks()
    }
    if FULL not in found:
        found[FULL] = f"not there: run `impasto weights fetch {FULL}`, or `impasto weights import FILE --name {FULL}`"
    return {**found, "cache": str(cache_dir()), "kept by runs": _kept()}


def _kept() -> str:
    """Say how much runs left for the next ones, and where."""
    if not enabled():
        return f"nothing: {DISABLE_VARIABLE} is set"
    places = ", ".join(str(store.folder) for store in STORES)
    return f"{sum(store.size_bytes() for store in STORES) / 1e6:.0f} MB in {places}"


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


def _memory() -> str:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return "unknown"
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.split()[1:]}
    return f"{kib['MemTotal'] / 2**20:.1f} GiB, {kib['MemAvailable'] / 2**20:.1f} GiB free"


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of what a run uses."""
    found = {"impasto": VERSION, "python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
