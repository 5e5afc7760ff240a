"""What a run needs to know of a network before it needs its graph; remembered, so that the graph stays unread."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from impasto.engine import run_cache


@dataclass(frozen=True)
class NetworkFacts:
    """A features model but for its graph.

    Attributes:
        sha256: of the file.
        taps: names of its outputs, shallow to deep.
        metadata: what the file says of itself: preprocessing, licence, attribution.
        whole: whether everything is in the one file, so that the hash stands for it.
    """

    sha256: str
    taps: tuple[str, ...]
    metadata: Mapping[str, str]
    whole: bool


def stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is replaced or written to: its size, time in ns and number.

    Raises:
        OSError: there is no such file.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def recall(path: Path) -> NetworkFacts | None:
    """Return what an earlier run found out about a file that was not changed since."""
    if run_cache.enabled():
        with run_cache.Tolerant(f"recall {path}"):
            kept = json.loads(_entry(path).read_bytes())
            if tuple(kept.pop("stamp")) == stamp(path):
                return NetworkFacts(**{**kept, "taps": tuple(kept["taps"])})
    return None


def remember(path: Path, seen: tuple[int, int, int], facts: NetworkFacts) -> None:
    """Keep the facts for `recall`.

    Args:
        path: of the network.
        seen: its `stamp` before it was read.
        facts: what was read.
    """
    if run_cache.enabled():
        with run_cache.Tolerant(f"remember {path}"):
            content = {**dataclasses.asdict(facts), "stamp": seen}
            run_cache.write(_entry(path), json.dumps(content).encode())
            kept = run_cache.folder(run_cache.NETWORK_FACTS)
            run_cache.drop_oldest(kept.glob("*.json"), run_cache.LIMITS_BYTES[run_cache.NETWORK_FACTS])


def _entry(path: Path) -> Path:
    return run_cache.folder(run_cache.NETWORK_FACTS) / f"{run_cache.key_of(str(path.resolve()))}.json"
