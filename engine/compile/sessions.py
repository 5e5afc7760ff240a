"""Sessions by spec. Their graphs come from the cache, or are built and then kept in the cache."""

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engine.cache import graphs
from impasto.engine.cache.store import enabled, ignore_errors, key_of
from impasto.engine.cache.stores import MEMORY_NEEDS
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import Network
from impasto.engine.runtime import cpu_info, lowering
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.providers.provider import CPU_ORT_NAME
from impasto.engine.runtime.session import Graph, Session
from impasto.export import shared_weights
from impasto.export.graph_memory import GraphMemory, graph_memory
from impasto.export.terms import MOMENTS, Term
from impasto.models.version import VERSION

if TYPE_CHECKING:
    import onnx_ir as ir

OBJECTIVE, TARGETS = "objective", "targets"
_FORMAT = 2  # of what is kept
_OPTIMISED = "graph.onnx"


Opened = tuple[Session, tuple[Term, ...]]
"""A session, and the terms of its graph in the order of their columns; a targets graph has none."""


class SessionSource:
    """Opens sessions for one network on one provider.

    The cache holds the CPU provider's graphs as ONNX Runtime optimised them, which depends on the processor. It holds
    the graphs of other providers as they were built. Graphs of a network in several files are not kept, because the
    hash of the first file does not cover the others.

    Attributes:
        network: the network of the graphs.
        provider: the provider of the sessions.
        threads: number of CPU threads; 0 is one per core.
    """

    def __init__(self, network: Network, provider: Provider, threads: int) -> None:
        self.network, self.provider, self.threads = network, provider, threads
        # A graph that runs once gains nothing from capture, and no other thread may allocate while a GPU captures.
        self._once = provider.uncaptured() or provider
        self._keeps = enabled() and network.facts.whole
        self._keeps_optimised = provider.ort_name == CPU_ORT_NAME and bool(cpu_info.flags())
        self._surroundings = _surroundings(provider) if self._keeps else ()
        # an objective that was weighed, not opened
        self._lowered: tuple[GraphSpec, ir.Model, tuple[Term, ...]] | None = None
        self._weighed: dict[tuple[str, GraphSpec], GraphMemory] = {}
        self._lowering = threading.Lock()  # sessions may be opened in a second thread
        self._waiting: list[Callable[[], None]] = []
        self._keeper: ThreadPoolExecutor | None = None

    def open(self, kind: str, spec: GraphSpec) -> Opened:
        """Return a session.

        Args:
            kind: `OBJECTIVE`, loss terms and image gradient; or `TARGETS`, an image's features and Gram matrices.
            spec: specification of the graph.

        Raises:
            ImpastoError: the image is too small, or the session does not run on the provider.
        """
        key, provider = self.key(kind, spec), self._provider_of(kind, spec)
        kept = self._reopened(key, provider) if key else None
        if kept is not None:
            return kept
        return self._built(key, provider, *self._take_lowered(kind, spec))

    def memory(self, kind: str, spec: GraphSpec) -> GraphMemory:
        """Return the memory that a graph takes, see `open`. The graph is built unless the cache has the number."""
        found = self._weighed.get((kind, spec))
        key = self.key(f"memory of {kind}", spec) if found is None else None
        if key:
            found = MEMORY_NEEDS.find(key, lambda entry: GraphMemory(**json.loads(entry.read_bytes())))
        if found is None:
            model, terms = self._take_lowered(kind, spec)
            found = graph_memory(model)
            if kind == OBJECTIVE:
                self._lowered = spec, model, terms
            if key:
                self.later(partial(MEMORY_NEEDS.put_json, key, dataclasses.asdict(found)))
        self._weighed[kind, spec] = found
        return found

    def _take_lowered(self, kind: str, spec: GraphSpec) -> "tuple[ir.Model, tuple[Term, ...]]":
        """Return the lowered graph; if `memory` has built the same graph, return that one."""
        with self._lowering:
            kept = self._lowered if kind == OBJECTIVE else None
            if kept is not None:
                self._lowered = None
        if kept is not None and kept[0] == spec:
            return kept[1:]
        model, terms = build(self.network, kind, spec)
        return lowering.lower(model, self._provider_of(kind, spec)), terms

    def _provider_of(self, kind: str, spec: GraphSpec) -> Provider:
        """Return the provider of a graph's session; the square root of `MOMENTS` diverges in less than float32."""
        provider = self.provider if kind == OBJECTIVE else self._once
        return provider.exact() if spec.style_loss == MOMENTS else provider

    def key(self, kind: str, spec: GraphSpec) -> str | None:
        """Return a hash of everything that a graph depends on; None if the graph is not kept."""
        if not self._keeps:
            return None
        return key_of(kind, dataclasses.asdict(spec), self.network.sha256, self._surroundings)

    def later(self, task: Callable[[], None]) -> None:
        """Add a task that writes to the cache; `keep` starts it."""
        self._waiting.append(task)

    def keep(self) -> None:
        """Run the added tasks one after another in a background thread."""
        while self._waiting:
            self._keeper = self._keeper or ThreadPoolExecutor(1)
            self._keeper.submit(self._waiting.pop(0))

    def finish(self) -> None:
        """Run the added tasks, and wait until they have ended."""
        self.keep()
        if self._keeper is not None:
            self._keeper.shutdown()
        self._keeper = None

    def _reopened(self, key: str, provider: Provider) -> Opened | None:
        """Return a session of a cached graph; None if no cached graph can be opened."""
        kept, optimised = graphs.find(key), self._keeps_optimised
        if kept is not None:
            with ignore_errors(f"open the graph {key}"):
                graph = Graph(kept[0] if optimised else shared_weights.join(kept[0]), optimised=optimised)
                return Session(graph, provider, self.threads), kept[1]
        return None

    def _built(self, key: str | None, provider: Provider, model: "ir.Model", terms: tuple[Term, ...]) -> Opened:
        """Return a session of a newly built graph, and keep the graph in the cache."""
        from impasto.export import serialised

        cpu = provider.ort_name == CPU_ORT_NAME
        graph = Graph(*serialised.without_weights(model)) if cpu else Graph(serialised.whole(model))
        session = None
        if key and self._keeps_optimised:
            session = self._written(key, graph, terms)
        elif key:
            content = serialised.whole(model) if graph.weights else graph.content
            self.later(partial(graphs.put, key, content, terms))
        return session or Session(graph, provider, self.threads), terms

    def _written(self, key: str, graph: Graph, terms: tuple[Term, ...]) -> Session | None:
        """Return a session that also writes its optimised graph to the cache; None if that fails, as on a full disk."""
        folder = graphs.new_folder()
        if folder is None:
            return None
        session = None
        with ignore_errors(f"write the graph {key}"):
            session = Session(graph, self.provider, self.threads, keep=folder / _OPTIMISED)
        self.later(partial(_put_and_remove, key, folder, terms, whole=session is not None))
        return session


def _put_and_remove(key: str, folder: Path, terms: tuple[Term, ...], *, whole: bool) -> None:
    """Put the graph of a temporary folder into the cache if it is complete, and delete the folder."""
    try:
        if whole:
            graphs.put(key, folder / _OPTIMISED, terms)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build(network: Network, kind: str, spec: GraphSpec) -> tuple["ir.Model", tuple[Term, ...]]:
    """Return a new graph of a kind, `OBJECTIVE` or `TARGETS`, and the terms of an objective."""
    from impasto.export.objective import build_objective, build_targets

    values = dataclasses.asdict(spec)
    if kind == OBJECTIVE:
        objective = build_objective(network.model, **values)
        return objective.model, objective.terms
    del values["tv"], values["tv_norm"]
    return build_targets(network.model, **values), ()


def _surroundings(provider: Provider) -> tuple[object, ...]:
    """Return everything that graphs depend on apart from network and spec: code, versions, provider, processor."""
    here = Path(__file__)
    sources = [here, Path(lowering.__file__), *sorted(Path(shared_weights.__file__).parent.rglob("*.py"))]
    return (
        _FORMAT,
        VERSION,
        [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources],
        metadata.version("onnx-ir"),
        provider.runtime_version(),
        {item.name: getattr(provider, item.name) for item in dataclasses.fields(provider) if item.name != "choice"},
        (cpu_info.name(), sorted(cpu_info.flags())),
    )
