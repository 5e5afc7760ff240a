"""Whether a job is taken, from the headers of its images alone: pixels, memory, and the queue."""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.engine import Engine, ImpastoError, Settings
from impasto.engine.images import read_size
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.server.config import EngineChoice, Limits
from impasto.server.errors import busy, invalid, too_large
from impasto.server.store.jobs import load_of
from impasto.server.web.keys import Key
from impasto.server.work.plain_messages import without_paths
from impasto.server.work.predictor import Predictor

_MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class Network:
    """A network that jobs may name."""

    name: str
    model: str
    sha256: str
    choice: str


class Planner:
    """Plans jobs. It has an engine of its own, which never runs one, because an engine plans only while it is idle.

    Args:
        choice: the engine of the workers.
        elsewhere: whether the workers are on other machines, whose provider and memory this one does not know.

    Raises:
        ImpastoError: as `Engine`.
    """

    def __init__(self, choice: EngineChoice, *, elsewhere: bool = False) -> None:
        arguments = {"provider": "cpu", "checks_memory": False} if elsewhere else choice.arguments()
        self._checks_memory = not elsewhere
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self.networks: dict[str, Network] = {}
        for model in choice.models:
            engine = Engine(model, **arguments)
            found = engine.network
            if found.name not in self.networks:
                self._engines[found.name] = engine
                self.networks[found.name] = Network(found.name, model, found.sha256, found.choice)
        first = next(iter(self._engines.values()))
        self.provider = f"{first.provider.name}, {first.provider.precision}"
        self.free_bytes: int | None = None

    @property
    def default(self) -> str:
        """The network of jobs that name none."""
        return next(iter(self.networks))

    def check_network(self, name: str | None) -> str:
        """Return the name of a network.

        Raises:
            Problem: there is no such network.
        """
        name = self.default if name is None else name
        if name not in self.networks:
            raise invalid(f"unknown network {name[:80]!r}", list(self.networks))
        return name

    def plan(self, network: str, content: Path | None, style: "Path | SavedStyle | None", settings: Settings) -> int:
        """Return the pixels of the result.

        Raises:
            Problem: the job cannot run, or not in the memory that was free when the server started.
        """
        paths = {"content": content, "style": style if isinstance(style, Path) else None}
        with self._lock:
            try:
                plan = self._engines[network].plan(content, style, settings)
            except ImpastoError as error:
                raise invalid(_plain(str(error), paths)) from error
            if self._checks_memory and self.free_bytes is None and plan.free_bytes is not None:
                self.free_bytes = plan.free_bytes
        if self.free_bytes is not None and plan.memory.total > _MEMORY_SHARE * self.free_bytes:
            needed, free = plan.memory.total >> 20, int(_MEMORY_SHARE * self.free_bytes) >> 20
            raise invalid(f"the job needs {needed} MiB of memory; use a smaller size", {"max_mib": free})
        return plan.scene.width * plan.scene.height

    def plan_style(self, network: str, style: Path, settings: Settings) -> None:
        """Check that the matrices of a style can be made.

        Raises:
            Problem: they cannot.
        """
        with self._lock:
            try:
                self._engines[network].plan_style(style, settings)
            except ImpastoError as error:
                raise invalid(_plain(str(error), {"style": style})) from error


def check_image(name: str, path: Path, limits: Limits) -> None:
    """Check the header of an uploaded image; nothing is decoded.

    Raises:
        Problem: it is no image that the engine reads, or has too many pixels.
    """
    try:
        height, width = read_size(path)
    except ImpastoError as error:
        raise invalid(f"{name}: {_plain(str(error), {name: path})}") from error
    if height * width > limits.pixels:
        detail = f"{name} is {width} x {height} px, which are too many pixels; use a smaller image"
        raise too_large(detail, {"max_pixels": limits.pixels})


class Gate:
    """Refuses jobs that the queue has no room for.

    Args:
        limits: of the server.
        predictor: tells how long jobs take.
        workers: returns the number of workers.
    """

    def __init__(self, limits: Limits, predictor: Predictor, workers: Callable[[], int]) -> None:
        self._limits, self._predictor, self._workers = limits, predictor, workers

    def check(self, connection: sqlite3.Connection, key: Key, new_bytes: int, new_s: float) -> None:
        """Check a job in the transaction that accepts it.

        Raises:
            Problem: there is no room; its `Retry-After` is the predicted time until there is.
        """

        def row(query: str, *values: object) -> sqlite3.Row:
            found: sqlite3.Row = connection.execute(query, values).fetchone()
            return found

        limits, load = self._limits, load_of(row, None)
        first_end_s = _first_end_s(row) if load["jobs"] >= min(limits.queue_jobs, key.jobs or limits.queue_jobs) else 1
        if load["jobs"] >= limits.queue_jobs:
            raise busy("queue-full", f"the queue has its {limits.queue_jobs} jobs", first_end_s)
        if key.jobs is not None and load_of(row, key.id)["jobs"] >= key.jobs:
            raise busy("quota", f"the key {key.id} has its {key.jobs} jobs in the queue", first_end_s)
        if load["jobs"] and load["bytes"] + new_bytes > limits.queue_bytes:
            raise busy("queue-full", "the images of the queued jobs have too many bytes", _first_end_s(row))
        workers = max(1, self._workers())
        if load["jobs"] and load["seconds"] + new_s > limits.queue_s * workers:
            over_s = (load["seconds"] + new_s) / workers - limits.queue_s
            raise busy("queue-full", "the queued jobs take too long", max(1.0, over_s))


def _first_end_s(row: Callable[..., Any]) -> float:
    """Return the predicted seconds until a job ends."""
    query = """SELECT min(max(predicted_s * (1 - 1.0 * iteration / max(1, json_extract(settings, '$.iterations'))), 1))
        FROM jobs WHERE state = ?"""
    for state in ("running", "queued"):
        found = row(query, state)
        if found is not None and found[0] is not None:
            return float(found[0])
    return 1.0


def _plain(message: str, paths: Mapping[str, Path | None]) -> str:
    return without_paths(message, {name: None if path is None else os.fspath(path) for name, path in paths.items()})
