"""All stores of the cache."""

from impasto.engine.cache.graphs import GRAPHS
from impasto.engine.cache.network_facts import NETWORK_FACTS
from impasto.engine.cache.store import Store
from impasto.engine.cache.targets import TARGETS

MEMORY_NEEDS = Store("memory", ".json", 1 << 20)
"""The memory that graphs take, as earlier runs computed it: `GraphMemory` by the key of the graph."""

EVALUATION_TIMES = Store("times", ".json", 1 << 20)
"""The seconds per iteration that earlier runs took, by the kind of graph: a value for each number of pixels."""

STORES = (GRAPHS, TARGETS, NETWORK_FACTS, MEMORY_NEEDS, EVALUATION_TIMES)
