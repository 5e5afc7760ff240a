"""How much memory graphs take, as earlier runs found out."""

import dataclasses
import json

from impasto.engine.cache.store import Store
from impasto.export.graph_memory import GraphMemory

MEMORY_NEEDS = Store("memory", ".json", 1 << 20)


def find(key: str) -> GraphMemory | None:
    """Return what the graph of a key takes; None where no earlier run has found out."""
    return MEMORY_NEEDS.find(key, lambda entry: GraphMemory(**json.loads(entry.read_bytes())))


def put(key: str, found: GraphMemory) -> None:
    """Keep what the graph of a key takes."""
    MEMORY_NEEDS.put(key, lambda part: part.write_text(json.dumps(dataclasses.asdict(found)), encoding="utf-8"))
