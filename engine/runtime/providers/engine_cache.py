"""The engines that TensorRT has built: listed and deleted."""

from dataclasses import dataclass
from pathlib import Path

from impasto.engine.runtime.providers import tensorrt


@dataclass(frozen=True)
class CachedEngine:
    """One engine.

    Attributes:
        machine: GPU, architecture and TensorRT's version, as its folder is named.
        name: of the file: precision, the graph's hash, and the architecture.
        megabytes: its size.
        path: the file.
    """

    machine: str
    name: str
    megabytes: float
    path: Path


def list_engines() -> list[CachedEngine]:
    """Return every engine in the user's cache, for whatever GPU."""
    paths = sorted(tensorrt.engines_dir().glob(f"*/{tensorrt.ENGINE}"))
    return [CachedEngine(path.parent.name, path.stem, path.stat().st_size / 1e6, path) for path in paths]


def clear_engines() -> tuple[int, float]:
    """Delete all engines, profiles and timings; return how many engines there were and the megabytes given back."""
    engines = list_engines()
    megabytes = 0.0
    for folder in tensorrt.engines_dir().glob("*"):
        if folder.is_dir():
            for path in folder.glob("*"):
                megabytes += path.stat().st_size / 1e6
                path.unlink()
            folder.rmdir()
    return len(engines), megabytes
