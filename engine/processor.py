"""What the processor can do."""

import functools
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BF16_TILES = "amx_bf16"
BF16_FLAGS = (BF16_TILES, "avx512_bf16")  # matrix tiles; vector dot products


@functools.cache
def flags() -> frozenset[str]:
    """Return the instruction sets by Linux's names; empty where the system does not tell."""
    return frozenset(_field("flags").split())


@functools.cache
def name() -> str:
    """Return the processor's name."""
    return _field("model name") or platform.processor() or "unknown"


def bf16_flag() -> str | None:
    """Return which instructions multiply bfloat16, the fastest first; None where there are none or none are known."""
    return next((flag for flag in BF16_FLAGS if flag in flags()), None)


def _field(name: str) -> str:
    """Return the first processor's entry of that name, "" where there is none."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
