"""What a run needs to know of a network before it needs its graph. It is kept, so that the graph stays unread."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from impasto.engine.cache.store import Store, key_of

NETWORK_FACTS = Store("network-facts", ".json", 1 << 20)


@dataclass(frozen=True)
class NetworkFacts:
    """A features model without its graph.

    Attributes:
        sha256: of the file.
        taps: names of its outputs, shallow to deep.
        metadata: texts that the file carries: preprocessing, licence, attribution.
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
    """Return the facts that an earlier run kept of a network's file; None if the file was changed since."""

    def read(entry: Path) -> NetworkFacts:
        kept = json.loads(entry.read_bytes())
        if tuple(kept.pop("stamp")) != stamp(path):
            raise ValueError("the file was changed")
        return NetworkFacts(**{**kept, "taps": tuple(kept["taps"])})

    return NETWORK_FACTS.find(_key(path), read)


def remember(path: Path, seen: tuple[int, int, int], facts: NetworkFacts) -> None:
    """Keep the facts for `recall`.

    Args:
        path: of the network.
        seen: its `stamp` before it was read.
        facts: what was read.
    """
    NETWORK_FACTS.put_json(_key(path), {**dataclasses.asdict(facts), "stamp": seen})


def _key(path: Path) -> str:
    return key_of(str(path.resolve()))
