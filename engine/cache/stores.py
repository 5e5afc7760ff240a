"""All stores of the cache."""

from impasto.engine.cache.graphs import GRAPHS
from impasto.engine.cache.memory_needs import MEMORY_NEEDS
from impasto.engine.cache.network_facts import NETWORK_FACTS
from impasto.engine.cache.targets import TARGETS

STORES = (GRAPHS, TARGETS, NETWORK_FACTS, MEMORY_NEEDS)
