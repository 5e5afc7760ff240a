"""The cache of the facts about a network. With them a run can start before it reads the network's graph."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from impasto.engine.cache.store import Store, key_of

NETWORK_FACTS = Store("network-facts", ".json", 1 << 20)


@dataclass(frozen=True)
class NetworkFacts:
    """The facts about a features model, without its graph.

    Attributes:
        sha256: hash of the file.
        taps: names of its outputs, shallow to deep.
        metadata: texts in the file: preprocessing, licence, attribution.
        whole: whether the model is in a single file, so that the hash covers all of it.
    """

    sha256: str
    taps: tuple[str, ...]
    metadata: Mapping[str, str]
    whole: bool


def stamp(path: Path) -> tuple[int, int, int]:
    """Return values that change when a file is replaced or written: its size, time in ns and inode number.

    Raises:
        OSError: there is no such file.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def recall(path: Path) -> NetworkFacts | None:
    """Return the facts that an earlier run kept about a file; None if there are none or the file was changed since."""

    def read(entry: Path) -> NetworkFacts:
        kept = json.loads(entry.read_bytes())
        if tuple(kept.pop("stamp")) != stamp(path):
            raise ValueError("the file was changed")
        return NetworkFacts(**{**kept, "taps": tuple(kept["taps"])})

    return NETWORK_FACTS.find(_key(path), read)


def remember(path: Path, seen: tuple[int, int, int], facts: NetworkFacts) -> None:
    """Keep the facts for `recall`.

    Args:
        path: file of the network.
        seen: `stamp` of the file before it was read.
        facts: the facts that were read.
    """
    NETWORK_FACTS.put_json(_key(path), {**dataclasses.asdict(facts), "stamp": seen})


def _key(path: Path) -> str:
    return key_of(str(path.resolve()))
